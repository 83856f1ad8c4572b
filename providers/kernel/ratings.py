"""What a rating is worth now: its state, what it supports, and whether observed work has left it.

Source: docs/ratings.md, "When a rating lapses".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from math import ceil, floor
from uuid import UUID

from token_standard.ratings import Interval, Requests

VALID_DAYS = 30
EXPIRING = timedelta(days=7)
JUDGED_REQUESTS = 200  # fewer say nothing: nine in ten honest deployments are within 30 %, one request is not
TOLERANCE = Fraction(30, 100)  # the cost model's 90th percentile for a known deployment
MICRO, PICO = 10**6, 10**12
MOST_RATE_MICRO = 10**15  # 10⁹ ST/s; what is faster took no time that can be measured
MOST_WINDOW_MICRO = 10**18  # 10¹² ST: more is no window of one deployment, and would not fit its column
OLDEST_RUN, CLOCK_SLACK = timedelta(days=7), timedelta(minutes=5)


class State(StrEnum):
    """Of a deployment (the first six) and of a single rating (all but `unrated`)."""

    UNRATED = "unrated"
    RATED = "rated"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    DRIFTING = "drifting"
    CHANGED = "changed"
    SUPERSEDED = "superseded"


# States in which the rating is still the best word on the deployment.
STANDING = frozenset({State.RATED, State.EXPIRING, State.DRIFTING})


@dataclass(frozen=True, slots=True)
class Setup:
    """What a rating holds for. Equal setups have one rating; any other needs its own."""

    card_digest: str
    engine: str
    engine_version: str
    driver: str
    served_format: str
    tensor_parallel: int


@dataclass(frozen=True, slots=True)
class WindowDraft:
    """What an engine at load finished in so many microseconds of wall time."""

    micro_seconds: int
    requests: tuple[Requests, ...]


@dataclass(frozen=True, slots=True)
class RunDraft:
    """One calibration run as it was submitted."""

    prompt_tokens: int
    max_tokens: int
    concurrency: int
    windows: tuple[WindowDraft, ...]


@dataclass(frozen=True, slots=True)
class RatingDraft:
    """Two calibration runs or more, and what they were made on. Conclusions are drawn here, never taken."""

    deployment_id: UUID
    setup: Setup
    devices: int
    measured_at: datetime
    runs: tuple[RunDraft, ...]


@dataclass(frozen=True, slots=True)
class CheckDraft:
    """One window at load, to be compared with the standing rating."""

    deployment_id: UUID
    setup: Setup
    devices: int
    measured_at: datetime
    window: WindowDraft


@dataclass(frozen=True, slots=True)
class Observed:
    """Work in a window: GPU-seconds that it took and those that the rating foretold, by so many requests."""

    taken: Fraction
    foretold: Fraction
    requests: int


@dataclass(frozen=True, slots=True)
class Drift:
    """What observed work says of a rating.

    `ratio` is the median of taken over foretold, weighted by requests, over the newest windows that have 200 requests
    together; None where there is nothing. `low` and `high` are the bounds that it must leave to be drifting.
    """

    ratio: Fraction | None
    low: Fraction
    high: Fraction | None
    requests: int

    @property
    def drifting(self) -> bool:
        """Whether the rating no longer holds; never on fewer than 200 requests."""
        if self.ratio is None or self.requests < JUDGED_REQUESTS:
            return False
        return self.ratio < self.low or (self.high is not None and self.ratio > self.high)


def changed(rated: Setup, seen: Setup) -> str:
    """The first field in which two setups differ; empty where they are the same.

    Versions that either side does not know are no difference.
    """
    for name in ("card_digest", "engine", "served_format", "tensor_parallel"):
        if getattr(rated, name) != getattr(seen, name):
            return name
    for name in ("engine_version", "driver"):
        before, after = getattr(rated, name), getattr(seen, name)
        if before and after and before != after:
            return name
    return ""


def drift(observed: Sequence[Observed], *, point: int, low: int, high: int | None) -> Drift:
    """Judge windows, newest first, by a rating's blended rate with its interval (any one unit).

    The interval is widened on both sides by the cost model's own error, 30 %: time is the inverse of rate.
    """
    least = Fraction(point, high) * (1 - TOLERANCE) if high is not None else Fraction(0)
    most = Fraction(point, low) * (1 + TOLERANCE) if low else None
    taken: list[tuple[Fraction, int]] = []
    requests = 0
    for one in observed:
        if requests >= JUDGED_REQUESTS:
            break
        if one.foretold > 0:
            taken.append((one.taken / one.foretold, one.requests))
            requests += one.requests
    return Drift(_median(taken), least, most, requests)


def state(*, expires_at: datetime, newest: bool, changed: bool, drifting: bool, now: datetime) -> State:
    """The state of one rating; the strongest reason against it is named."""
    if not newest:
        return State.SUPERSEDED
    if changed:
        return State.CHANGED
    if expires_at <= now:
        return State.EXPIRED
    if drifting:
        return State.DRIFTING
    return State.EXPIRING if expires_at - now < EXPIRING else State.RATED


def rate_micros(rate: Interval) -> tuple[int | None, int, int | None]:
    """A rate with its bounds as micro-ST a second, rounded outwards; None above a thousand million ST/s."""

    def within(value: int) -> int | None:
        return value if value <= MOST_RATE_MICRO else None

    point = None if rate.point is None else within(round(rate.point * MICRO))
    high = None if rate.high is None else within(ceil(rate.high * MICRO))
    return point, min(floor(rate.low * MICRO), MOST_RATE_MICRO), high


def supported(declared: int, high_micro: int | None, devices: int) -> bool:
    """Whether a declared rate, ST/s of all devices, does not pass the upper bound of one device's (micro-ST/s)."""
    return high_micro is None or declared * MICRO <= high_micro * devices


def _median(weighted: Sequence[tuple[Fraction, int]]) -> Fraction | None:
    """The value at which half of the weight is reached; None without values."""
    half, seen = sum(weight for _, weight in weighted), 0
    for value, weight in sorted(weighted):
        seen += 2 * weight
        if seen >= half:
            return value
    return None
