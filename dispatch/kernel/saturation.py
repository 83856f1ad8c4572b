"""When an engine was at load, and how much of each request fell into that time.

An engine is at load while at least as many requests run as in the runs it was rated by. All else is left out, so that
time without work says nothing of its speed. Source: docs/ratings.md, "What the gateway sees".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

_MICROSECOND = timedelta(microseconds=1)
Stretch = tuple[datetime, datetime]  # half-open


@dataclass(frozen=True, slots=True)
class Span:
    """A request while it ran: reading its prompt until the first token, generating until it closed.

    One without a first token read its prompt all the time.
    """

    opened_at: datetime
    first_token_at: datetime | None
    closed_at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a request fell into the time at load: of its prompt, and of what it generated; 0 to 1 each."""

    prompt: Fraction
    output: Fraction


@dataclass(frozen=True, slots=True)
class Seen:
    """What a window shows: microseconds at load, each span's share in order, and how many spans closed at load."""

    micro_seconds: int
    shares: tuple[Share, ...]
    finished: int


def threshold(concurrency: int, *, rated_devices: int, devices: int) -> int:
    """Requests that must run for `devices` to be at load, where `rated_devices` were with `concurrency`; rounded up."""
    return max(1, -(-concurrency * devices // rated_devices))


def seen(spans: Sequence[Span], *, at_least: int, start: datetime, end: datetime) -> Seen:
    """What the time in [start, end) shows during which `at_least` of the spans run; the order of spans is kept.

    A request's work is taken to be spread evenly over the time it took, prompt and generation apart: a window that a
    long request only passes through has a part of it, and no request is counted whole in two windows. A request is
    counted as one where it closes.
    """
    loaded = stretches(spans, at_least=at_least, start=start, end=end)
    return Seen(
        micro_seconds=sum(_micros(until - since) for since, until in loaded),
        shares=tuple(_share(span, loaded) for span in spans),
        finished=sum(any(since < span.closed_at <= until for since, until in loaded) for span in spans),
    )


def stretches(spans: Iterable[Span], *, at_least: int, start: datetime, end: datetime) -> list[Stretch]:
    """The longest times within [start, end), in order and apart, during which at least so many spans run."""
    found: list[Stretch] = []
    since: datetime | None = None
    running = 0
    for at, change in _changes(spans):
        before, running = running, running + change
        if before < at_least <= running:
            since = at
        elif running < at_least <= before and since is not None:
            if (inside := (max(since, start), min(at, end)))[0] < inside[1]:
                found.append(inside)
            since = None
    return found


def _changes(spans: Iterable[Span]) -> Iterator[tuple[datetime, int]]:
    """Instants at which the number of running spans changes, each once, with by how much."""
    total: dict[datetime, int] = {}
    for span in spans:
        if span.opened_at < span.closed_at:
            total[span.opened_at] = total.get(span.opened_at, 0) + 1
            total[span.closed_at] = total.get(span.closed_at, 0) - 1
    for at in sorted(total):
        if total[at]:
            yield at, total[at]


def _share(span: Span, loaded: Sequence[Stretch]) -> Share:
    if span.first_token_at is None:
        whole = _part(span.opened_at, span.closed_at, loaded)
        return Share(whole, whole)
    first = min(max(span.first_token_at, span.opened_at), span.closed_at)
    return Share(_part(span.opened_at, first, loaded), _part(first, span.closed_at, loaded))


def _part(since: datetime, until: datetime, loaded: Sequence[Stretch]) -> Fraction:
    """The part of a time that is at load; an instant is all of itself where it lies in a stretch."""
    if since >= until:
        return Fraction(any(a <= since < b for a, b in loaded))
    common = sum(max(0, _micros(min(until, b) - max(since, a))) for a, b in loaded)
    return Fraction(common, _micros(until - since))


def _micros(length: timedelta) -> int:
    return length // _MICROSECOND
