import uuid

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.kernel.draws import Share, spread, used_by_part
from market.kernel.levels import cumulative, levels
from market.kernel.money import cost_micros, fee_micros
from market.kernel.text import price_text
from market.kernel.tokens import token_prices


def test_a_cost_is_whole_on_tick_and_lot():
    assert cost_micros(1_800_000, 2_000_000) == 3_600_000
    assert cost_micros(10_000, 1_000) == 10


def test_a_fee_is_rounded_half_up():
    assert fee_micros(1_000_000, fee_bps=250) == 25_000
    assert fee_micros(1, fee_bps=5_000) == 1


def test_a_price_is_written_exactly_with_at_least_two_decimals():
    assert [price_text(p) for p in (1_800_000, 1_234_567, 10_000, 3_000_000)] == ["1.80", "1.234567", "0.01", "3.00"]


def test_prices_of_a_models_own_tokens_follow_its_card():
    prices = token_prices(1_000_000, card_name="llama-3-8b", card_format="fp16", context=2_048)

    assert prices.cached_micros < prices.input_micros < prices.output_micros
    assert prices.context == 2_048


class TestLevels:
    def test_add_up_each_price_best_first(self):
        price, quantity = np.array([5, 7, 5, 6]), np.array([1, 2, 3, 0])

        assert levels(price, quantity, best_high=True) == [(7, 2), (5, 4)]
        assert levels(price, quantity, best_high=False) == [(5, 4), (7, 2)]

    def test_of_nothing_are_none(self):
        none = np.zeros(0, dtype=np.int64)

        assert levels(none, none, best_high=True) == []

    def test_a_thinned_curve_keeps_its_ends(self):
        curve = cumulative([(n, 1) for n in range(1_000)], most=80)

        assert len(curve) == 80
        assert (curve[0], curve[-1]) == ((0, 1), (999, 1_000))


shares = st.lists(st.integers(0, 10**9), max_size=8).map(lambda parts: [Share(uuid.uuid4(), part) for part in parts])


class TestSpread:
    @given(shares, st.integers(1, 10**9))
    def test_takes_all_or_nothing_and_never_beyond_a_share(self, left, wanted):
        taken = spread(left, wanted)

        if taken is None:
            assert sum(one.micro_st for one in left) < wanted
        else:
            by_id = {one.id: one.micro_st for one in left}
            assert sum(one.micro_st for one in taken) == wanted
            assert all(0 < one.micro_st <= by_id[one.id] for one in taken)

    def test_what_was_used_fills_the_first_parts(self):
        assert used_by_part([5, 5, 5], 7) == [5, 2, 0]
