"""Faults on demand: what happens to calls and to webhooks. Seeded, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

# hang, cut, error: the call has its effect, then no answer, half an answer, or a 500. never: no effect, half an
# answer. slow: an answer after `seconds`.
CallFault = Literal["hang", "cut", "error", "never", "slow"]


@dataclass
class Faults:
    """`planned` are for the next calls whose path has the text; rates are chances of one."""

    seed: int = 0
    planned: list[tuple[str, CallFault]] = field(default_factory=list)
    seconds: float = 2.0
    cut_rate: float = 0.0
    duplicate_rate: float = 0.0
    lost_rate: float = 0.0
    late_rate: float = 0.0
    late_seconds: float = 3.0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def of_call(self, method: str, path: str) -> CallFault | None:
        """The fault of this call, used up if it was planned."""
        for place, (text, fault) in enumerate(self.planned):
            if text in f"{method} {path}":
                del self.planned[place]
                return fault
        return "cut" if method == "POST" and self.random.random() < self.cut_rate else None

    def deliveries(self) -> list[float]:
        """After how many seconds each copy of one webhook is sent; none of them: it is lost."""
        if self.random.random() < self.lost_rate:
            return []
        copies = 2 if self.random.random() < self.duplicate_rate else 1
        return [
            self.late_seconds * self.random.random() if self.random.random() < self.late_rate else 0.0
            for _ in range(copies)
        ]
