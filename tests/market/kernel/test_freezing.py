import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.kernel.freezing import (
    Standing,
    contested,
    deliverable_st,
    drawn_out,
    due_micro_st_per_second,
    pinned_out,
    self_trades,
    within_supply,
)


def ints(*values):
    return np.array(values, dtype=np.int64)


class TestDeliverable:
    def test_is_never_more_than_was_declared_or_than_the_rate_gives(self):
        assert deliverable_st(offered=10_000, sold=4_000, rate=100, due_micro=0, seconds=3600, lot=1_000) == 6_000
        assert deliverable_st(offered=10_000, sold=4_000, rate=100, due_micro=0, seconds=59, lot=1_000) == 5_000

    def test_counts_the_rate_that_earlier_sales_take(self):
        due = due_micro_st_per_second(180_000, seconds=3600)

        assert deliverable_st(offered=360_000, sold=180_000, rate=100, due_micro=due, seconds=1800, lot=1_000) == 90_000

    def test_is_nothing_after_the_window(self):
        assert deliverable_st(offered=10_000, sold=0, rate=100, due_micro=0, seconds=0, lot=1_000) == 0

    @given(st.integers(1, 10**6), st.integers(1, 3600), st.lists(st.integers(1, 10**6), max_size=8))
    def test_what_is_sold_step_by_step_never_needs_more_than_the_rate(self, rate, seconds, asked):
        offered, sold, due = rate * 3600, 0, 0
        for quantity in asked:
            now = min(
                quantity, deliverable_st(offered=offered, sold=sold, rate=rate, due_micro=due, seconds=seconds, lot=1)
            )
            sold += now
            due += due_micro_st_per_second(now, seconds=seconds)

        assert sold <= rate * seconds
        assert sold <= offered


class TestWithinSupply:
    def test_serves_earlier_offers_first(self):
        allowed = within_supply(ints(5, 5, 5, 7), ints(0, 0, 1, 0), ints(3, 1, 2, 2), ints(8, 100))

        assert allowed.tolist() == [0, 5, 5, 3]

    @given(
        st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3)), min_size=1, max_size=20),
        st.lists(st.integers(0, 100), min_size=4, max_size=4),
    )
    def test_gives_each_supply_out_fully_and_never_beyond(self, offers, deliverable):
        left = ints(*[quantity for quantity, _ in offers])
        supply = ints(*[number for _, number in offers])

        allowed = within_supply(left, supply, np.arange(len(left)), ints(*deliverable))

        assert (allowed <= left).all()
        for number in set(supply.tolist()):
            mine = supply == number
            assert allowed[mine].sum() == min(left[mine].sum(), deliverable[number])


class TestSelfTrades:
    def test_leaves_the_younger_one_out(self):
        out = self_trades(ints(0, 1), ints(0, 0), ints(0, 0), ints(100, 90), ints(2, 1))

        assert out.tolist() == [True, False]

    def test_looks_at_one_organisation_and_one_product_only(self):
        other_owner = self_trades(ints(0, 1), ints(0, 0), ints(0, 1), ints(100, 90), ints(1, 2))
        other_product = self_trades(ints(0, 1), ints(0, 1), ints(0, 0), ints(100, 90), ints(1, 2))

        assert not other_owner.any()
        assert not other_product.any()

    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 2), st.integers(1, 9)), max_size=30))
    def test_what_stays_never_crosses_inside_an_organisation(self, orders):
        side, product, owner, limit = (
            (ints(*column) for column in zip(*orders, strict=True)) if orders else [ints()] * 4
        )
        out = self_trades(side, product, owner, limit, np.arange(len(side)))

        for one in set(zip(product.tolist(), owner.tolist(), strict=True)):
            stays = ~out & (product == one[0]) & (owner == one[1])
            bids, offers = limit[stays & (side == 0)], limit[stays & (side == 1)]
            assert not len(bids) or not len(offers) or bids.max() < offers.min()


class TestDeployments:
    standing = (Standing(b"chips", b"a"), Standing(b"chips", b"b"), Standing(b"others", b"c"))

    def test_of_a_pinned_group_only_the_one_that_has_sold_stays(self):
        assert pinned_out(self.standing, {}) == [False, False, False]
        assert pinned_out(self.standing, {b"chips": b"b"}) == [True, False, False]

    def test_a_lone_one_sits_out_where_another_has_sold(self):
        assert pinned_out(self.standing, {b"others": b"z"}) == [False, False, True]

    def test_are_contested_where_several_of_a_group_can_sell(self):
        assert contested(self.standing, {0, 1, 2}) == {b"chips": [0, 1]}
        assert contested(self.standing, {0, 2}) == {}

    def test_one_of_a_group_stays_when_drawn(self):
        assert len(drawn_out(self.standing, [0, 1], seed=b"seed")) == 1
        assert drawn_out(self.standing, [1, 2], seed=b"seed") == []

    def test_are_drawn_anew_with_each_seed(self):
        out = {drawn_out(self.standing, [0, 1, 2], seed=bytes([n]))[0] for n in range(40)}

        assert out == {0, 1}
