"""Which windows an offer covers. Hours and weekdays are those of the market clock, UTC+08:00."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from providers.kernel.days import day_of

MARKET_CLOCK = timezone(timedelta(hours=8), "UTC+08:00")
_DAYS, _HOURS = 7, 24


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
class Hours:
    """Hours of a day: `to_hour` is not included, and where it is not after `from_hour` they run over midnight."""

    from_hour: int  # 0..23
    to_hour: int  # 1..24, another than from_hour


@dataclass(frozen=True, slots=True)
class Calendar:
    """Hours of working days and hours of days off, by the official Chinese calendar; None offers nothing there.

    Days off are weekends and public holidays; a weekend day that is worked
    (调休) is a working day. Hours over midnight belong to the day on which
    they begin.
    """

    workday: Hours | None
    restday: Hours | None


@dataclass(frozen=True, slots=True)
class Once:
    """One window."""

    window_start: datetime


Schedule = Weekly | Calendar | Once


def covers(schedule: Schedule, window_start: datetime) -> bool:
    """Whether the clock hour that starts here is offered."""
    if isinstance(schedule, Once):
        return window_start == schedule.window_start
    local = window_start.astimezone(MARKET_CLOCK)
    today, yesterday = _hours_on(schedule, local.date()), _hours_on(schedule, local.date() - timedelta(days=1))
    begun_today = today is not None and today.from_hour <= local.hour < _end(today)
    return begun_today or (yesterday is not None and local.hour + _HOURS < _end(yesterday))


def _hours_on(schedule: Weekly | Calendar, day: date) -> Hours | None:
    """The hours that begin on a day."""
    if isinstance(schedule, Calendar):
        return schedule.restday if day_of(day).rests else schedule.workday
    return Hours(schedule.from_hour, schedule.to_hour) if day.weekday() in schedule.weekdays else None


def _end(hours: Hours) -> int:
    """The hour before which they end, counted on over midnight: 22 to 6 ends at 30."""
    return hours.to_hour if hours.from_hour < hours.to_hour else hours.to_hour + _HOURS


def mask(weekdays: Iterable[int]) -> int:
    """Weekdays as bits, Monday lowest: how they are stored."""
    return sum(1 << day for day in set(weekdays))


def unmask(bits: int) -> frozenset[int]:
    """The weekdays of a stored mask."""
    return frozenset(day for day in range(_DAYS) if bits >> day & 1)
