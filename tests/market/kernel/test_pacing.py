from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from market.kernel.pacing import MINUTE, Drawn, pace, wait

NOW = datetime(2026, 11, 24, 16, 30, tzinfo=UTC)
MICRO = 10**6


class TestPace:
    def test_is_a_burst_above_even(self):
        found = pace("interactive", [(360_000 * MICRO, 3_600)], st_per_output_token=Fraction(1, 10))

        assert found.minute_micro_st == 9_000 * MICRO  # 1.5 × 100 ST/s × 60 s
        assert found.streams == 100  # 150 ST/s over 15 tokens/s × 0.1 ST

    def test_of_the_running_hour_counts_the_seconds_that_were_left(self):
        late = pace("realtime", [(1_000 * MICRO, 100)], st_per_output_token=Fraction(1))

        assert late.minute_micro_st == 1_200 * MICRO

    def test_lets_one_stream_run_however_little_was_bought(self):
        assert pace("realtime", [(1, 3_600)], st_per_output_token=Fraction(1)).streams == 1

    def test_is_none_for_a_batch(self):
        assert pace("batch", [(1, 3_600)], st_per_output_token=Fraction(1)) is None


def at(seconds, micro_st):
    return Drawn(NOW - timedelta(seconds=seconds), micro_st)


class TestWait:
    def test_is_none_within_the_minutes_share(self):
        assert wait(100, [at(10, 60)], 40, now=NOW) is None

    def test_lasts_until_enough_is_a_minute_old(self):
        assert wait(100, [at(50, 30), at(20, 30), at(5, 40)], 50, now=NOW) == timedelta(seconds=40)
        assert wait(100, [at(50, 30), at(20, 30), at(5, 40)], 30, now=NOW) == timedelta(seconds=10)

    def test_a_request_beyond_a_minute_runs_when_the_minute_was_empty(self):
        assert wait(100, [], 500, now=NOW) is None
        assert wait(100, [at(60, 100)], 500, now=NOW) is None
        assert wait(100, [at(59, 1)], 500, now=NOW) == timedelta(seconds=1)

    @given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), max_size=40), st.integers(10, 100))
    def test_no_minute_ever_takes_more_than_its_share_but_by_one_large_request(self, asked, share):
        drawn, now = [], NOW
        for tenths, wanted in asked:
            now += timedelta(seconds=tenths / 10)
            pause = wait(share, drawn, wanted, now=now)
            if pause is None:
                drawn.append(Drawn(now, wanted))
            else:
                assert pause > timedelta(0)
                assert wait(share, drawn, wanted, now=now + pause) is None

        for one in drawn:
            minute = [two.micro_st for two in drawn if one.at - MINUTE < two.at <= one.at]
            assert sum(minute) <= share or len(minute) == 1
