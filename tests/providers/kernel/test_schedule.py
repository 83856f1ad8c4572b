"""Which windows a weekly plan covers, on the market clock."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from providers.kernel.schedule import MARKET_CLOCK, Once, Weekly, covers, mask, unmask

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


class TestOnce:
    def test_covers_its_window_only_whatever_the_zone_it_is_written_in(self) -> None:
        once = Once(MONDAY)

        assert [hour for hour in WEEK if covers(once, hour.astimezone(UTC))] == [MONDAY]


class TestMask:
    @given(st.frozensets(st.integers(0, 6)))
    def test_is_read_back_as_written(self, days: frozenset[int]) -> None:
        assert unmask(mask(days)) == days
