from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kernel.periods import NaiveInstant, PeriodKind, market_date, next_period, period_from, period_of

instants = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))
kinds = st.sampled_from(PeriodKind)


class TestPeriod:
    @given(kinds, instants, st.integers(-2, 2))
    def test_holds_each_instant_once(self, kind, instant, neighbours):
        period = period_of(kind, instant)
        other = period_of(kind, instant + neighbours * timedelta(days=20))

        assert instant in period
        assert (instant in other) == (other == period)

    @given(kinds, instants)
    def test_ends_where_the_next_begins(self, kind, instant):
        period = period_of(kind, instant)
        after = next_period(period)

        assert period.end == after.start
        assert period.end not in period
        assert period.end in after
        assert period_of(kind, period.end - timedelta(microseconds=1)) == period

    def test_begins_at_midnight_in_shanghai(self):
        month = period_of(PeriodKind.MONTH, datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC))

        assert (month.start, month.end) == (
            datetime(2026, 10, 31, 16, tzinfo=UTC),
            datetime(2026, 11, 30, 16, tzinfo=UTC),
        )
        assert (month.first_date, month.last_date) == (date(2026, 11, 1), date(2026, 11, 30))

    def test_of_a_week_runs_from_monday_to_sunday(self):
        week = period_from(PeriodKind.WEEK, date(2026, 11, 24))

        assert (week.first_date, week.last_date) == (date(2026, 11, 23), date(2026, 11, 29))

    @given(instants)
    def test_does_not_depend_on_the_zone_an_instant_is_written_in(self, instant):
        elsewhere = instant.astimezone(timezone(timedelta(hours=-7)))

        assert market_date(elsewhere) == market_date(instant)
        assert period_of(PeriodKind.DAY, elsewhere) == period_of(PeriodKind.DAY, instant)

    def test_refuses_a_time_without_a_zone(self):
        with pytest.raises(NaiveInstant):
            period_of(PeriodKind.DAY, datetime(2026, 11, 24))
        with pytest.raises(NaiveInstant):
            _ = datetime(2026, 11, 24) in period_from(PeriodKind.DAY, date(2026, 11, 24))
