"""What kind of day a date is in mainland China: official holidays and make-up working days (调休) included.

The State Council publishes a year's days a few weeks before it begins; the
library `chinese_calendar` carries them as a table, and its pinned version
decides which years are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from chinese_calendar import constants

_SATURDAY = 5

# A published year has a New Year's Day; the days around a year's end may stand in either year's announcement.
_KNOWN = frozenset(day.year for day in constants.holidays if (day.month, day.day) == (1, 1))
KNOWN_TO = max(_KNOWN)


class Kind(StrEnum):
    """Kinds of day. `makeup` is a Saturday or Sunday that is worked; `holiday` may fall on any weekday."""

    WORKDAY = "workday"
    MAKEUP = "makeup"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


@dataclass(frozen=True, slots=True)
class Day:
    """A date's kind; where its year is not `published` yet, that is a guess from the weekday alone."""

    kind: Kind
    published: bool

    @property
    def rests(self) -> bool:
        """Whether people are off: weekends and holidays, but not make-up days."""
        return self.kind in {Kind.WEEKEND, Kind.HOLIDAY}


def day_of(day: date) -> Day:
    """The kind of a date of the market clock."""
    published = day.year in _KNOWN
    if published and day in constants.workdays:
        return Day(Kind.MAKEUP, published)
    if published and day in constants.holidays:
        return Day(Kind.HOLIDAY, published)
    return Day(Kind.WEEKEND if day.weekday() >= _SATURDAY else Kind.WORKDAY, published)
