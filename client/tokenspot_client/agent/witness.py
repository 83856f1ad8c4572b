"""The engine's own counters as a second witness: over each stretch of time, do they say what the agent counted?

A stretch ends when nothing is under way at either end, so that both figures
are final. A difference is reported once two looks in a row see the same one:
a log may be written a moment after its request was counted.
"""

from __future__ import annotations

import logging
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

from tokenspot_client.engines import (
    Finding,
    MalformedMetrics,
    NotComparable,
    Snapshot,
    Usage,
    Verdict,
    check,
    delta,
    read,
)

log = logging.getLogger("tokenspot.agent")
_MOST_BYTES = 32 * 1024 * 1024
_LONGEST_STRETCH = 240  # looks, before an engine that is never idle begins a new stretch


@dataclass
class Told:
    """What the comparison has come to."""

    looks: int = 0
    failed_looks: int = 0
    restarts: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    differences: Counter[str] = field(
        default_factory=Counter
    )  # tokens by identity: counted by the agent less the engine's
    findings: list[str] = field(default_factory=list)
    breaches: list[dict[str, object]] = field(default_factory=list)
    last_problem: str = ""


class Witness:
    """Keeps one stretch. Pure but for :meth:`fetch`."""

    def __init__(self, url: str, *, engine: str | None = None, model: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no address of metrics: http://host:port/metrics")
        self._url = url
        self._engine = engine
        self._model = model
        self._base: Snapshot | None = None
        self._counted = Usage(0, 0, 0)
        self._suspect: tuple[tuple[str, int | None], ...] = ()
        self._stretch = 0
        self.told = Told()

    def fetch(self) -> Snapshot:
        """Read the engine's counters.

        :raises OSError: it is not there.
        :raises MalformedMetrics: what it says cannot be read.
        """
        request = urllib.request.Request(self._url)  # noqa: S310  # the scheme was looked at
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            text = answer.read(_MOST_BYTES).decode("utf-8", "replace")
            start = answer.headers.get("Process-Start-Time-Unix")
        try:
            started = float(start) if start else None
        except ValueError:
            started = None
        return read(text, engine=self._engine, model=self._model, process_start=started)

    def failed(self, error: Exception) -> None:
        """A look that came to nothing; the stretch goes on."""
        self.told.failed_looks += 1
        self.told.last_problem = f"{type(error).__name__}: {error}"[:300]

    def look(self, snapshot: Snapshot, counted: Usage, *, moving: bool) -> None:
        """Compare.

        :param counted: what the agent counted since it started.
        :param moving: something was under way at the agent during the look.
        """
        self.told.looks += 1
        if self._base is None:
            if not moving and not snapshot.in_flight:  # before that, requests of unknown size are under way
                self._begin(snapshot, counted)
            return
        self._stretch += 1
        try:
            window = delta(self._base, snapshot)
        except NotComparable as error:
            self.failed(error)
            self._begin(snapshot, counted)
            return
        if window.restart:
            self.told.restarts += 1
            log.warning("the engine restarted (%s): its counters begin anew", window.restart)
            self.told.verdicts["open"] += 1
            self._begin(snapshot, counted)
            return
        used = _less(counted, self._counted)
        findings = check(window, [used])
        final = not moving and window.quiet
        if final or self._stretch >= _LONGEST_STRETCH:
            self._conclude(findings, snapshot, counted, final=final)

    def _conclude(self, findings: tuple[Finding, ...], snapshot: Snapshot, counted: Usage, *, final: bool) -> None:
        wrong = tuple((f.name, f.difference) for f in findings if f.verdict is Verdict.BREACHED)
        if final and wrong and wrong != self._suspect:
            self._suspect = wrong
            return
        for finding in findings:
            verdict = finding.verdict if final or finding.verdict is Verdict.HELD else Verdict.OPEN
            self.told.verdicts[str(verdict)] += 1
            if finding.difference and verdict in {Verdict.BREACHED, Verdict.OPEN}:
                self.told.differences[finding.name] += finding.difference
            if verdict is Verdict.BREACHED:
                log.warning("the engine's counters and ours differ: %s", finding)
                told = {"at": int(time.time()), "identity": finding.name, "difference": finding.difference}
                self.told.breaches = [*self.told.breaches[-19:], told]
        self.told.findings = [str(finding) for finding in findings]
        self._begin(snapshot, counted)

    def _begin(self, snapshot: Snapshot, counted: Usage) -> None:
        self._base, self._counted, self._suspect, self._stretch = snapshot, counted, (), 0


def _less(now: Usage, then: Usage) -> Usage:
    cached = None if now.cached is None or then.cached is None else now.cached - then.cached
    return Usage(now.prompt - then.prompt, now.generated - then.generated, cached)


__all__ = ["MalformedMetrics", "Told", "Witness"]
