"""Between two readings: what was counted, whether the engine restarted, and whether the figures agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tokenspot_client.engines.snapshot import Series, Snapshot
from tokenspot_client.engines.usage import Usage

COUNTS = ("prompt", "computed", "cached", "generated", "iteration", "drafts", "drafted", "accepted")


class NotComparable(ValueError):
    """Readings of different engines, or a later one that lacks a counter and shows no sign of a restart."""

    code = "not_comparable"


@dataclass(frozen=True)
class Window:
    """What an engine counted between two readings; None is what it does not say.

    After a restart the window is a new one that begins with the process: the
    counts are those of the later reading, and what the old process counted
    after the earlier reading is lost.
    """

    before: Snapshot
    after: Snapshot
    restart: str | None  # why it is taken for one; None when there was none
    counts: Mapping[str, int | None]
    prompt_by_source: Mapping[str, int]
    cached_by_source: Mapping[str, int]
    finished: Mapping[str, int]
    seconds: Mapping[str, float]
    rounded: Mapping[str, int]  # field → how far its count may be off, where the engine rounds

    @property
    def quiet(self) -> bool:
        """No request was under way at either end, as far as the engine says."""
        ends = (self.after,) if self.restart else (self.before, self.after)
        return not any(end.in_flight for end in ends)


class Verdict(StrEnum):
    """How an identity came out."""

    HELD = "held"
    BREACHED = "breached"
    OPEN = "open"  # the figures differ, but not both are final
    UNKNOWN = "unknown"  # one of the figures is not there


@dataclass(frozen=True)
class Finding:
    """One identity with both its figures."""

    name: str
    verdict: Verdict
    expected: int | None
    counted: int | None
    reason: str = ""

    @property
    def difference(self) -> int | None:
        """Counted less expected, in tokens."""
        return None if self.expected is None or self.counted is None else self.counted - self.expected

    def __str__(self) -> str:
        figures = f"{self.expected} expected, {self.counted} counted"
        return f"{self.name}: {self.verdict} ({figures}{f'; {self.reason}' if self.reason else ''})"


def delta(before: Snapshot, after: Snapshot) -> Window:
    """What was counted from one reading to the next. Never below zero: a restart opens a new window.

    :raises NotComparable: readings of different engines, or the later text was cut short between two lines.
    """
    if before.engine != after.engine:
        raise NotComparable(f"{before.engine} and {after.engine} are different engines")
    restart = _restart(before, after)

    def less(now: Mapping[str, int], then: Mapping[str, int]) -> dict[str, int]:
        return {key: value - (0 if restart else then.get(key, 0)) for key, value in now.items()}

    return Window(
        before=before,
        after=after,
        restart=restart,
        counts=_counts(before, after, restart),
        prompt_by_source=less(after.prompt_by_source, before.prompt_by_source),
        cached_by_source=less(after.cached_by_source, before.cached_by_source),
        finished=less(after.finished, before.finished),
        seconds={k: v - (0.0 if restart else before.seconds.get(k, 0.0)) for k, v in after.seconds.items()},
        rounded={
            name: after.rounded.get(name, 0) + (0 if restart else before.rounded.get(name, 0))
            for name in {*after.rounded, *(() if restart else before.rounded)}
        },
    )


def _counts(before: Snapshot, after: Snapshot, restart: str | None) -> dict[str, int | None]:
    counts = {name: _count(name, before, after, restart) for name in COUNTS}
    prompt, cached = counts["prompt"], counts["cached"]
    if prompt is not None:  # then it is no counter of its own, and the two may have been read a moment apart
        counts["computed"] = None if cached is None or cached > prompt else prompt - cached
    return counts


def _count(name: str, before: Snapshot, after: Snapshot, restart: str | None) -> int | None:
    now, then = getattr(after, name), getattr(before, name)
    if now is None or restart:
        return None if now is None else int(now)
    return int(now - (then or 0))


def _restart(before: Snapshot, after: Snapshot) -> str | None:
    """Judged by series, not by sums: one that fell may hide behind another that rose."""
    starts = (before.process_start, after.process_start)
    if None not in starts and starts[0] != starts[1]:
        return f"the process started at {starts[1]}, not at {starts[0]}"
    gone = None
    for series, then in before.series.items():
        now = after.series.get(series)
        if now is None:
            gone = gone or series
        elif now < then:
            return f"{_spelled(series)} went back from {then:g} to {now:g}"
    if gone is not None:  # taking this for a restart would count everything since the start once more
        raise NotComparable(f"{_spelled(gone)} is gone, and nothing else says that the engine restarted")
    return None


def _spelled(series: Series) -> str:
    name, labels = series
    return name + ("{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}" if labels else "")


def check(window: Window, usages: Iterable[Usage] | None = None) -> tuple[Finding, ...]:
    """Every identity that the engine's figures allow, in a fixed order.

    ``usages`` are those of all requests that the engine answered in the window.
    Without requests under way a difference of one token is a breach; with some,
    or after a restart, or where the engine rounds, the finding stays open.
    """
    counts = window.counts
    findings = [
        _identity(window, "iteration tokens = prompt - cached + generated", _iteration(window), counts["iteration"]),
        *_sources(window),
    ]
    if usages is not None:
        findings += _against_usages(window, list(usages))
    if counts["drafted"] is not None and counts["accepted"] is not None:
        fits = counts["accepted"] <= counts["drafted"]
        verdict = Verdict.HELD if fits else Verdict.BREACHED
        findings.append(Finding("accepted <= drafted", verdict, counts["drafted"], counts["accepted"]))
    return tuple(findings)


def breaches(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that need a person."""
    return tuple(finding for finding in findings if finding.verdict is Verdict.BREACHED)


def _iteration(window: Window) -> int | None:
    prompt, cached, generated = (window.counts[name] for name in ("prompt", "cached", "generated"))
    return None if prompt is None or cached is None or generated is None else prompt - cached + generated


def _sources(window: Window) -> Iterable[Finding]:
    for name, parts in (("prompt", window.prompt_by_source), ("cached", window.cached_by_source)):
        if parts:
            yield _identity(window, f"{name} by source = {name}", window.counts[name], sum(parts.values()), {name})


def _against_usages(window: Window, usages: Sequence[Usage]) -> list[Finding]:
    counts = window.counts
    cached = None if any(u.cached is None for u in usages) else sum(u.cached or 0 for u in usages)
    prompt = sum(usage.prompt for usage in usages)
    generated = sum(usage.generated for usage in usages)
    findings = []
    if counts["prompt"] is None and counts["computed"] is not None:
        computed = None if cached is None else prompt - cached
        name = "usage: prompt - cached = computed prompt"
        findings.append(_identity(window, name, counts["computed"], computed, {"computed"}, usages=True))
    else:
        findings.append(_identity(window, "usage: prompt = prompt", counts["prompt"], prompt, {"prompt"}, usages=True))
    name = "usage: completion = generated"
    findings.append(_identity(window, name, counts["generated"], generated, {"generated"}, usages=True))
    if counts["cached"] is not None:
        findings.append(_identity(window, "usage: cached = cached", counts["cached"], cached, {"cached"}, usages=True))
    return findings


def _identity(
    window: Window,
    name: str,
    expected: int | None,
    counted: int | None,
    fields: frozenset[str] | set[str] = frozenset({"prompt", "cached", "generated", "iteration"}),
    *,
    usages: bool = False,
) -> Finding:
    if expected is None or counted is None:
        return Finding(name, Verdict.UNKNOWN, expected, counted, "not told by the engine or by a usage object")
    if expected == counted:
        return Finding(name, Verdict.HELD, expected, counted)
    reason = _not_final(window, abs(expected - counted), fields, usages=usages)
    return Finding(name, Verdict.OPEN if reason else Verdict.BREACHED, expected, counted, reason)


def _not_final(window: Window, difference: int, fields: frozenset[str] | set[str], *, usages: bool) -> str:
    """Why two figures may differ by so much without anything being wrong; empty when they may not."""
    off = sum(window.rounded.get(field, 0) for field in fields)
    if difference <= off:
        return f"the engine rounds: {off} either way"
    if not window.quiet:
        return "requests were under way at an end of the window"
    if window.restart and usages:
        return "the engine restarted: the counters of before are lost"
    if "cached" in fields and not (window.before.cached_exact and window.after.cached_exact):
        return "this version counts a preempted request's hits again"
    return ""
