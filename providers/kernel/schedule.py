"""Which windows an offer covers. Hours and weekdays are those of the market clock, UTC+08:00."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

MARKET_CLOCK = timezone(timedelta(hours=8), "UTC+08:00")
_DAY = 7


@dataclass(frozen=True, slots=True)
class Weekly:
    """Hours of some days of every week.

    Weekdays count from 0, Monday. `to_hour` is not included; where it is not
    after `from_hour` the hours run over midnight and belong to the day on which
    they begin: Sunday 22 to 6 ends on Monday at 6.
    """

    weekdays: frozenset[int]
    from_hour: int  # 0..23
    to_hour: int  # 1..24, another than from_hour


@dataclass(frozen=True, slots=True)
class Once:
    """One window."""

    window_start: datetime


Schedule = Weekly | Once


def covers(schedule: Schedule, window_start: datetime) -> bool:
    """Whether the clock hour that starts here is offered."""
    if isinstance(schedule, Once):
        return window_start == schedule.window_start
    local = window_start.astimezone(MARKET_CLOCK)
    today, yesterday = local.weekday(), (local.weekday() - 1) % _DAY
    if schedule.from_hour < schedule.to_hour:
        return today in schedule.weekdays and schedule.from_hour <= local.hour < schedule.to_hour
    return (today in schedule.weekdays and local.hour >= schedule.from_hour) or (
        yesterday in schedule.weekdays and local.hour < schedule.to_hour
    )


def mask(weekdays: Iterable[int]) -> int:
    """Weekdays as bits, Monday lowest: how they are stored."""
    return sum(1 << day for day in set(weekdays))


def unmask(bits: int) -> frozenset[int]:
    """The weekdays of a stored mask."""
    return frozenset(day for day in range(_DAY) if bits >> day & 1)
