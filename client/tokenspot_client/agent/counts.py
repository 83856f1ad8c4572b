"""What the agent has counted since it started: for status, metrics, and the comparison with the engine's counters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tokenspot_client.engines.usage import Usage


@dataclass
class Counts:
    """Grows only. Held by one thread, the event loop's."""

    requests: Counter[str] = field(default_factory=Counter)  # by outcome
    unmetered: Counter[str] = field(default_factory=Counter)  # answered without a record, by reason
    records: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    own_requests: int = 0  # without the market's headers: counted here only
    own_prompt: int = 0
    own_completion: int = 0
    in_flight: int = 0
    cached_unknown: int = 0
    bad_lines: Counter[str] = field(default_factory=Counter)  # of a followed log, by reason

    def add(self, usage: Usage, *, market: bool) -> None:
        """Count one request's tokens in."""
        self.cached += usage.cached or 0
        self.cached_unknown += usage.cached is None
        if market:
            self.records += 1
            self.prompt += usage.prompt
            self.completion += usage.generated
        else:
            self.own_requests += 1
            self.own_prompt += usage.prompt
            self.own_completion += usage.generated

    @property
    def total(self) -> Usage:
        """Tokens of all requests as one usage; cached is not told where one request did not tell it."""
        return Usage(
            self.prompt + self.own_prompt,
            self.completion + self.own_completion,
            None if self.cached_unknown else self.cached,
        )
