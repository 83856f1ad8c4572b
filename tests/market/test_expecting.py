"""What a preview expects is what the next round does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from market import selectors, services
from market.kernel.errors import BadScope, UnknownLine
from market.kernel.orders import STRICTEST_TERMS, Choice, Scope
from market.services import expecting
from tests.market.test_flexible import KEPT, flexible, offer_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]
HOUR = timedelta(hours=1)


@pytest.fixture
def other_buyer(world: Any) -> Any:
    return world.organisation("buyer", yuan=100)


def draft_of(world: Any, buyer: Any, quantity: int, limits: dict[int, int], **more: Any) -> services.OrderDraft:
    own = max(limits, key=lambda hour: limits[hour])
    choices = tuple(sorted(Choice(world.line, world.window + hour * HOUR, limit) for hour, limit in limits.items()))
    return services.OrderDraft(
        buyer.organisation_id, "buy", world.line, world.grade, world.window + own * HOUR, quantity, limits[own],
        choices=choices if len(choices) > 1 else (), **more,
    )  # fmt: skip


def expected_and_got(world: Any, buyer: Any, draft: services.OrderDraft) -> tuple[Any, Any]:
    """(hour, ST, average price) as the preview tells, and as the round then does."""
    told = services.orders.preview(draft, now=world.now)
    assert told.expected_unknown is None
    assert told.expected_fill_st == sum(one.quantity_st for one in told.expected)
    placed = services.orders.place(draft, actor=buyer, now=world.now)
    world.round()
    got: dict[Any, list[int]] = {}
    for one in selectors.of_order(placed.id, buyer):
        both = got.setdefault((one.line, one.grade, one.window_start), [0, 0])
        both[0] += one.quantity_st
        both[1] += one.quantity_st * one.price_micros
    expected = {
        (one.product.line, one.product.grade, one.product.window_start): [one.quantity_st, one.cost_exact]
        for one in told.expected
    }
    assert told.expected_fill_st == world.order(placed).filled_st
    return expected, got


class TestABid:
    def test_buys_the_cheaper_hour(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_900_000)
        offer_in(world, seller, 1, 5_000, 1_700_000)

        expected, got = expected_and_got(world, buyer, draft_of(world, buyer, 4_000, {0: 2_000_000, 1: 2_000_000}))

        assert expected == got
        assert list(got) == [(world.line, world.grade, world.window + HOUR)]

    def test_takes_a_part_of_two_hours(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_900_000)
        offer_in(world, seller, 1, 5_000, 1_700_000)

        expected, got = expected_and_got(world, buyer, draft_of(world, buyer, 8_000, {0: 2_000_000, 1: 2_000_000}))

        assert expected == got
        assert len(got) == 2

    def test_knows_the_flexible_bids_of_others(self, world: Any, buyer: Any, other_buyer: Any, seller: Any) -> None:
        """The other one may go elsewhere: seen in this hour alone, it would take all of it."""
        offer_in(world, seller, 0, 4_000, 1_700_000)
        offer_in(world, seller, 1, 4_000, 1_700_000)
        flexible(world, other_buyer, 4_000, {0: 2_000_000, 1: 2_000_000})

        expected, got = expected_and_got(world, buyer, draft_of(world, buyer, 4_000, {0: 1_900_000}))

        assert expected == got
        assert sum(quantity for quantity, _ in got.values()) == 4_000

    def test_a_block_fills_with_all_or_nothing(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 3_000, 1_700_000)
        block = Scope(minimum_st=4_000)

        none = draft_of(world, buyer, 4_000, {0: 2_000_000}, scope=block)
        assert services.orders.preview(none, now=world.now).expected_fill_st == 0
        offer_in(world, seller, 0, 2_000, 1_800_000)
        expected, got = expected_and_got(world, buyer, none)

        assert expected == got
        assert sum(quantity for quantity, _ in got.values()) == 4_000

    @pytest.mark.parametrize("terms", [STRICTEST_TERMS, STRICTEST_TERMS | {"retention-30d"}])
    def test_keeps_to_its_data_terms(self, world: Any, buyer: Any, seller: Any, terms: frozenset[str]) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000, **KEPT)
        offer_in(world, seller, 0, 1_000, 1_900_000)

        draft = draft_of(world, buyer, 3_000, {0: 2_000_000}, scope=Scope(data_terms=terms))
        expected, got = expected_and_got(world, buyer, draft)

        assert expected == got
        assert sum(quantity for quantity, _ in got.values()) == (3_000 if "retention-30d" in terms else 1_000)

    def test_keeps_to_its_vendors(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000, vendor="nvidia")
        offer_in(world, seller, 0, 4_000, 1_900_000, vendor="huawei")

        draft = draft_of(world, buyer, 3_000, {0: 2_000_000}, scope=Scope(vendors=frozenset({"huawei"})))
        expected, got = expected_and_got(world, buyer, draft)

        assert expected == got == {(world.line, world.grade, world.window): [3_000, 3_000 * 1_900_000]}

    def test_does_not_trade_inside_its_organisation(self, world: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000)
        draft = draft_of(world, seller, 1_000, {0: 2_000_000, 1: 2_000_000})
        assert expecting.of_bid(draft, now=world.now).quantity_st == 0

    def test_waits_where_nothing_is_offered(self, world: Any, buyer: Any) -> None:
        told = services.orders.preview(draft_of(world, buyer, 1_000, {0: 2_000_000, 3: 2_000_000}), now=world.now)
        assert (told.expected_fill_st, told.expected, told.expected_price_micros) == (0, (), None)

    def test_writes_nothing(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 1, 5_000, 1_700_000)
        before = len(selectors.products(world.line))
        services.orders.preview(draft_of(world, buyer, 1_000, {1: 2_000_000, 9: 2_000_000}), now=world.now)
        assert len(selectors.products(world.line)) == before
        assert selectors.open_count(buyer) == 0

    def test_is_refused_what_an_order_could_not_have(self, world: Any, buyer: Any) -> None:
        draft = draft_of(world, buyer, 1_000, {0: 2_000_000, 1: 2_000_000})
        own, other = draft.choices
        with pytest.raises(UnknownLine):
            services.orders.preview(replace(draft, choices=(own, replace(other, line="nothing"))), now=world.now)


class TestTooMany:
    @pytest.mark.parametrize("name", ["MOST_ORDERS", "MOST_PRODUCTS"])
    def test_is_said_with_a_code(self, world: Any, buyer: Any, seller: Any, monkeypatch: Any, name: str) -> None:
        offer_in(world, seller, 0, 5_000, 1_900_000)
        offer_in(world, seller, 1, 5_000, 1_900_000)
        monkeypatch.setattr(expecting, name, 1)
        told = services.orders.preview(draft_of(world, buyer, 1_000, {0: 2_000_000, 1: 2_000_000}), now=world.now)
        assert (told.expected_fill_st, told.expected_unknown) == (None, "too_many_orders")

    def test_blocks_count_too(self, world: Any, buyer: Any, seller: Any, monkeypatch: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_900_000)
        monkeypatch.setattr(expecting, "MOST_CHOICES", 0)
        block = draft_of(world, buyer, 1_000, {0: 2_000_000}, scope=Scope(minimum_st=1_000))
        assert services.orders.preview(block, now=world.now).expected_unknown == "too_many_orders"

    def test_a_plain_bid_is_told_of_any_book(self, world: Any, buyer: Any, seller: Any, monkeypatch: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_900_000)
        monkeypatch.setattr(expecting, "MOST_ORDERS", 0)
        expected, got = expected_and_got(world, buyer, draft_of(world, buyer, 1_000, {0: 2_000_000}))
        assert expected == got

    def test_a_round_that_could_not_be_cleared_tells_nothing(
        self, world: Any, buyer: Any, seller: Any, monkeypatch: Any
    ) -> None:
        from market.services import clearing

        def fails(*_: Any, **__: Any) -> None:
            raise RuntimeError("no solution")

        offer_in(world, seller, 0, 5_000, 1_900_000)
        monkeypatch.setattr(clearing, "clear_component", fails)
        told = services.orders.preview(draft_of(world, buyer, 1_000, {0: 2_000_000, 1: 2_000_000}), now=world.now)
        assert (told.expected_fill_st, told.expected_unknown) == (None, "not_cleared")


class TestBetterGrades:
    def test_a_choice_is_taken_in_every_better_grade(self, world: Any) -> None:
        batch = Choice(world.line, world.window, 1_500_000, "batch")
        real = replace(batch, grade="realtime", limit_micros=1_800_000)

        found = services.flexible.or_better([batch, real])

        assert found == [batch, real, replace(batch, grade="interactive")]

    def test_a_product_twice_is_refused(self, world: Any) -> None:
        one = Choice(world.line, world.window, 1_500_000, "batch")
        with pytest.raises(BadScope):
            services.flexible.or_better([one, replace(one, limit_micros=1_600_000)])
