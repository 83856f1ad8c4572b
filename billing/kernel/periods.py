"""Billing periods: half-open [start, end), cut at midnight in Asia/Shanghai, kept as UTC instants."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

MARKET_ZONE = ZoneInfo("Asia/Shanghai")


class PeriodKind(StrEnum):
    DAY = "day"
    WEEK = "week"  # Monday to Sunday
    MONTH = "month"


class NaiveInstant(ValueError):
    """A date and time without a zone names no instant."""

    code = "naive_instant"


@dataclass(frozen=True, slots=True)
class Period:
    """All instants with start <= instant < end; both are aware UTC."""

    kind: PeriodKind
    start: datetime
    end: datetime

    @property
    def first_date(self) -> date:
        """The first market day of the period."""
        return market_date(self.start)

    @property
    def last_date(self) -> date:
        """The last market day of the period (it is included)."""
        return market_date(self.end) - timedelta(days=1)

    def __contains__(self, instant: datetime) -> bool:
        _refuse_naive(instant)
        return self.start <= instant < self.end


def market_date(instant: datetime) -> date:
    """The market's calendar day of an instant: the delivery day of usage.

    :raises NaiveInstant: if the instant has no zone.
    """
    _refuse_naive(instant)
    return instant.astimezone(MARKET_ZONE).date()


def period_of(kind: PeriodKind, instant: datetime) -> Period:
    """The one period of this kind that the instant lies in.

    :raises NaiveInstant: if the instant has no zone.
    """
    return period_from(kind, market_date(instant))


def period_from(kind: PeriodKind, day: date) -> Period:
    """The period of this kind that a market day lies in."""
    if kind is PeriodKind.DAY:
        first, after = day, day + timedelta(days=1)
    elif kind is PeriodKind.WEEK:
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    return Period(kind, _midnight(first), _midnight(after))


def next_period(period: Period) -> Period:
    """The period that begins where this one ends."""
    return period_of(period.kind, period.end)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), MARKET_ZONE).astimezone(UTC)


def _refuse_naive(instant: datetime) -> None:
    if instant.utcoffset() is None:
        raise NaiveInstant(f"{instant} has no time zone")
