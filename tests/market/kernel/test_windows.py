import itertools
from datetime import UTC, datetime, timedelta, timezone

from market.kernel import windows

NOW = datetime(2026, 11, 24, 15, 20, 30, tzinfo=UTC)


class TestOpenWindows:
    def test_are_the_current_hour_and_the_next_48(self):
        opened = windows.open_windows(NOW)

        assert len(opened) == 49
        assert opened[0] == (datetime(2026, 11, 24, 15, tzinfo=UTC), datetime(2026, 11, 24, 16, tzinfo=UTC))
        assert all(end == following for (_, end), (following, _) in itertools.pairwise(opened))

    def test_are_clock_hours_of_the_market_clock(self):
        shanghai = timezone(timedelta(hours=8))

        assert all(start.astimezone(shanghai).minute == 0 for start, _ in windows.open_windows(NOW))

    def test_close_at_their_end_and_not_before(self):
        start, end = windows.current(NOW)

        assert windows.is_open(start, end - timedelta(microseconds=1))
        assert not windows.is_open(start, end)
        assert windows.is_closed(start, end)

    def test_open_no_earlier_than_48_hours_ahead(self):
        last = windows.open_windows(NOW)[-1][0]

        assert windows.is_open(last, NOW)
        assert not windows.is_open(last + windows.WINDOW, NOW)


class TestSecondsLeft:
    def test_shrink_with_the_clock_only_inside_the_window(self):
        start, end = windows.current(NOW)

        assert windows.seconds_left(start, NOW) == 3600 - 20 * 60 - 30
        assert windows.seconds_left(end, NOW) == 3600
        assert windows.seconds_left(start, end) == 0
        assert windows.seconds_left(start, end + windows.WINDOW) == 0
