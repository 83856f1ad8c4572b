from hypothesis import given
from hypothesis import strategies as st

from market.kernel.obligations import (
    cancellation_fee_micros,
    is_promise_broken,
    price_of_broken_promise,
    shortfall_micro_st,
    undrawn_micro_st,
)


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


class TestPromise:
    def test_is_kept_by_nineteen_of_twenty(self):
        assert not is_promise_broken(judged=20, kept=19)
        assert is_promise_broken(judged=21, kept=19)
        assert not is_promise_broken(judged=0, kept=0)

    def test_costs_the_lower_grades_price_and_never_more_than_the_own(self):
        assert price_of_broken_promise(2_000_000, lower_grade_micros=1_200_000) == 1_200_000
        assert price_of_broken_promise(2_000_000, lower_grade_micros=2_600_000) == 2_000_000
        assert price_of_broken_promise(1_999_999, lower_grade_micros=None) == 1_399_999


class TestShortfall:
    @staticmethod
    def short(asked, **changes):
        values = {"bought": 3_600, "drawn": 0, "short": 0, "reserved": 0, "elapsed": 600, "whole": 3_600}
        return shortfall_micro_st(asked, **{**values, **changes})

    def test_is_what_was_due_by_now(self):
        assert self.short(100) == 100
        assert self.short(1_000) == 600
        assert self.short(1_000, drawn=500) == 100
        assert self.short(1_000, drawn=700) == 0, "ahead of an even draw nothing is due"
        assert self.short(1_000, elapsed=3_600, drawn=3_000, reserved=500) == 100

    @given(st.integers(1, 10**15), st.lists(st.tuples(st.integers(0, 10**14), st.integers(0, 3_600)), max_size=20))
    def test_of_asking_again_and_again_is_never_more_than_an_even_draw(self, bought, requests):
        short = 0
        for asked, elapsed in sorted(requests, key=lambda one: one[1]):
            short += self.short(asked, bought=bought, short=short, elapsed=elapsed)
            assert short <= bought * elapsed // 3_600
        assert short <= bought
