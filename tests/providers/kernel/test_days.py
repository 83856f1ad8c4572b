"""What kind of day a date is: the State Council's days of 2026, and weekends alone for years to come."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.kernel import days
from providers.kernel.days import Day, Kind, day_of

# From the notice on the holidays of 2026: https://www.gov.cn/zhengce/zhengceku/202511/content_7047091.htm
HOLIDAYS_2026 = (
    [date(2026, 1, day) for day in (1, 2, 3)]
    + [date(2026, 2, day) for day in range(15, 24)]
    + [date(2026, 4, day) for day in (4, 5, 6)]
    + [date(2026, 5, day) for day in range(1, 6)]
    + [date(2026, 6, day) for day in (19, 20, 21)]
    + [date(2026, 9, day) for day in (25, 26, 27)]
    + [date(2026, 10, day) for day in range(1, 8)]
)
WORKED_2026 = [
    date(2026, 1, 4),
    date(2026, 2, 14),
    date(2026, 2, 28),
    date(2026, 5, 9),
    date(2026, 9, 20),
    date(2026, 10, 10),
]
UNKNOWN_YEAR = days.KNOWN_TO + 1


class TestDayOf:
    @pytest.mark.parametrize("day", HOLIDAYS_2026)
    def test_a_public_holiday_is_a_day_off_whatever_its_weekday(self, day: date) -> None:
        assert day_of(day) == Day(Kind.HOLIDAY, published=True)
        assert day_of(day).rests

    @pytest.mark.parametrize("day", WORKED_2026)
    def test_a_weekend_day_that_is_worked_in_exchange_is_no_day_off(self, day: date) -> None:
        assert day.weekday() >= 5
        assert day_of(day) == Day(Kind.MAKEUP, published=True)
        assert not day_of(day).rests

    def test_all_other_days_of_2026_go_by_their_weekday(self) -> None:
        special = {*HOLIDAYS_2026, *WORKED_2026}
        year = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]

        for day in year:
            if day not in special:
                assert day_of(day).kind == (Kind.WEEKEND if day.weekday() >= 5 else Kind.WORKDAY)

    @given(st.dates(date(UNKNOWN_YEAR, 1, 1), date(UNKNOWN_YEAR + 50, 12, 31)))
    def test_a_year_not_published_yet_knows_weekends_only_and_says_so(self, day: date) -> None:
        assert day_of(day) == Day(Kind.WEEKEND if day.weekday() >= 5 else Kind.WORKDAY, published=False)

    def test_years_in_use_are_known(self) -> None:
        assert days.KNOWN_TO >= 2026
        assert day_of(date(2003, 10, 1)) == Day(Kind.WORKDAY, published=False)
