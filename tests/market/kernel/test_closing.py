import hashlib
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from market.kernel import closing

times = st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


class TestNextClose:
    @given(times, st.integers(1, 60), st.binary(min_size=32, max_size=32))
    def test_lies_on_the_grid_plus_less_than_a_tenth(self, now, tick, seed):
        close = closing.next_close(now, tick_seconds=tick, seed=seed)

        beyond = (close - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(seconds=tick)
        assert now < close <= now + timedelta(seconds=tick * 1.1)
        assert beyond < timedelta(seconds=tick / 10)

    def test_differs_with_the_seed(self):
        now = datetime(2026, 11, 24, tzinfo=UTC)

        closes = {closing.next_close(now, tick_seconds=5, seed=bytes([n]) * 32) for n in range(20)}

        assert len(closes) == 20

    def test_after_a_stall_is_one_close_and_not_the_missed_ones(self):
        stalled = datetime(2026, 11, 24, 12, 0, 3, tzinfo=UTC)

        assert closing.next_close(stalled, tick_seconds=5, seed=b"s" * 32) >= datetime(
            2026, 11, 24, 12, 0, 5, tzinfo=UTC
        )


class TestIsDue:
    def test_at_its_time_and_when_the_clock_was_set_back(self):
        close = datetime(2026, 11, 24, 12, tzinfo=UTC)

        assert closing.is_due(close, next_close_at=close, tick_seconds=5)
        assert not closing.is_due(close - timedelta(seconds=1), next_close_at=close, tick_seconds=5)
        assert closing.is_due(close - timedelta(hours=2), next_close_at=close, tick_seconds=5)


def test_a_commitment_is_the_hash_of_the_seed():
    assert closing.commitment(b"x" * 32) == hashlib.sha256(b"x" * 32).digest()
