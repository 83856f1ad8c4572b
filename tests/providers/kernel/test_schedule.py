"""Which windows a weekly plan covers, on the market clock."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from providers.kernel.schedule import MARKET_CLOCK, Calendar, Hours, Once, Weekly, covers, mask, unmask

MONDAY = datetime(2026, 11, 23, 0, 0, tzinfo=MARKET_CLOCK)
WEEK = [MONDAY + timedelta(hours=hour) for hour in range(24 * 7)]
EVERY_DAY = frozenset(range(7))

schedules = st.builds(
    Weekly,
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
    from_hour=st.integers(0, 23),
    to_hour=st.integers(1, 24),
).filter(lambda weekly: weekly.from_hour != weekly.to_hour)


def covered(schedule: Weekly) -> set[tuple[int, int]]:
    return {(hour.weekday(), hour.hour) for hour in WEEK if covers(schedule, hour)}


class TestWeekly:
    def test_covers_the_hours_of_its_days_and_no_other(self) -> None:
        assert covered(Weekly(frozenset({0, 4}), 1, 4)) == {(d, h) for d in (0, 4) for h in (1, 2, 3)}

    def test_runs_over_midnight_into_the_next_day(self) -> None:
        assert covered(Weekly(frozenset({1}), 22, 2)) == {(1, 22), (1, 23), (2, 0), (2, 1)}

    def test_runs_over_the_end_of_the_week_into_monday(self) -> None:
        assert covered(Weekly(frozenset({6}), 23, 1)) == {(6, 23), (0, 0)}

    def test_reads_the_hour_on_the_market_clock_not_in_utc(self) -> None:
        night = Weekly(frozenset({1}), 0, 1)

        assert covers(night, datetime(2026, 11, 23, 16, 0, tzinfo=UTC))  # Tuesday 00:00 in UTC+08:00
        assert not covers(night, datetime(2026, 11, 24, 0, 0, tzinfo=UTC))

    def test_covers_the_whole_day_from_0_to_24(self) -> None:
        assert len(covered(Weekly(EVERY_DAY, 0, 24))) == 168

    @given(schedules)
    def test_covers_as_many_hours_as_its_days_have(self, weekly: Weekly) -> None:
        hours = (weekly.to_hour - weekly.from_hour) % 24 or 24

        assert len(covered(weekly)) == hours * len(weekly.weekdays)

    @given(schedules)
    def test_covers_each_hour_that_walking_from_its_days_begin_reaches(self, weekly: Weekly) -> None:
        hours = (weekly.to_hour - weekly.from_hour) % 24 or 24
        walked = {
            ((day * 24 + weekly.from_hour + step) // 24 % 7, (weekly.from_hour + step) % 24)
            for day in weekly.weekdays
            for step in range(hours)
        }

        assert covered(weekly) == walked

    @given(schedules, st.integers(0, 167))
    def test_is_the_same_every_week(self, weekly: Weekly, hour: int) -> None:
        start = WEEK[hour]

        assert covers(weekly, start) == covers(weekly, start + timedelta(days=7 * 53))


def hours_of(schedule: Calendar, month: int, day: int) -> list[int]:
    """The hours of a day of 2026 that are covered."""
    return [hour for hour in range(24) if covers(schedule, datetime(2026, month, day, hour, tzinfo=MARKET_CLOCK))]


class TestCalendar:
    NIGHTS_AND_DAYS_OFF = Calendar(workday=Hours(1, 4), restday=Hours(0, 24))

    def test_tells_working_days_from_weekends(self) -> None:
        assert hours_of(self.NIGHTS_AND_DAYS_OFF, 11, 23) == [1, 2, 3]  # a Monday
        assert hours_of(self.NIGHTS_AND_DAYS_OFF, 11, 28) == list(range(24))  # a Saturday

    def test_takes_a_public_holiday_on_a_weekday_for_a_day_off(self) -> None:
        assert hours_of(self.NIGHTS_AND_DAYS_OFF, 10, 1) == list(range(24))  # a Thursday, National Day

    def test_takes_a_saturday_that_is_worked_for_a_working_day(self) -> None:
        assert hours_of(self.NIGHTS_AND_DAYS_OFF, 10, 10) == [1, 2, 3]

    def test_offers_nothing_on_a_kind_of_day_without_hours(self) -> None:
        assert hours_of(Calendar(workday=Hours(1, 4), restday=None), 11, 28) == []
        assert hours_of(Calendar(workday=None, restday=Hours(1, 4)), 11, 23) == []

    def test_hours_over_midnight_belong_to_the_day_on_which_they_begin(self) -> None:
        nights = Calendar(workday=Hours(22, 2), restday=None)

        assert hours_of(nights, 9, 30) == [0, 1, 22, 23]  # Wednesday, the eve of National Day
        assert hours_of(nights, 10, 1) == [0, 1]  # begun on the 30th
        assert hours_of(nights, 10, 2) == []
        assert hours_of(nights, 10, 8) == [22, 23]  # the first working day after it

    @given(st.builds(Hours, st.integers(0, 23), st.integers(1, 24)).filter(lambda h: h.from_hour != h.to_hour))
    def test_the_same_hours_on_all_days_are_those_of_a_whole_week(self, hours: Hours) -> None:
        week = Weekly(EVERY_DAY, hours.from_hour, hours.to_hour)

        assert [covers(Calendar(hours, hours), hour) for hour in WEEK] == [covers(week, hour) for hour in WEEK]


class TestOnce:
    def test_covers_its_window_only_whatever_the_zone_it_is_written_in(self) -> None:
        once = Once(MONDAY)

        assert [hour for hour in WEEK if covers(once, hour.astimezone(UTC))] == [MONDAY]


class TestMask:
    @given(st.frozensets(st.integers(0, 6)))
    def test_is_read_back_as_written(self, days: frozenset[int]) -> None:
        assert unmask(mask(days)) == days
