from hypothesis import given
from hypothesis import strategies as st

from market.kernel.obligations import cancellation_fee_micros, undrawn_micro_st


class TestUndrawn:
    @given(st.integers(0, 10**18), st.integers(0, 10**18), st.integers(0, 10**18))
    def test_and_what_was_drawn_or_short_are_what_was_bought(self, drawn, short, rest):
        bought = drawn + short + rest

        undrawn = undrawn_micro_st(bought=bought, drawn=drawn, short=short)

        assert undrawn >= 0 and drawn + short + undrawn == bought

    def test_is_nothing_of_what_was_cancelled(self):
        assert undrawn_micro_st(bought=10, drawn=0, short=0, cancelled=True) == 0


class TestFee:
    def test_is_a_fifth_half_up(self):
        assert cancellation_fee_micros(36_000_000, fee_bps=2_000) == 7_200_000
        assert [cancellation_fee_micros(cost, fee_bps=2_000) for cost in (1, 2, 3, 7, 8)] == [0, 0, 1, 1, 2]
        assert cancellation_fee_micros(5, fee_bps=1_000) == 1  # a half goes up

    @given(st.integers(0, 2**62), st.integers(0, 10_000))
    def test_and_what_is_released_are_the_hold(self, cost, bps):
        fee = cancellation_fee_micros(cost, fee_bps=bps)

        assert 0 <= fee <= cost
        assert abs(fee * 10_000 - cost * bps) <= 5_000
