"""A component that cannot be cleared is parked after three tries, with its reason; the rest of the market goes on."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import selectors as ledger
from market import selectors, services
from market.kernel.errors import ProductParked
from market.models import Market, ProductFault
from market.services import clearing
from tests.market.test_flexible import HOUR, flexible, offer_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]
POISON = 3_333_000


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine cannot bear this quantity, as it could not bear a bug's input."""
    clear, together = clearing.clear, clearing.part_of

    def plain(book: Any) -> Any:
        if POISON // 1_000 in book.quantity:
            raise ZeroDivisionError("poison")
        return clear(book)

    def coupled(book: Any, rows: Any, *rest: Any, **more: Any) -> Any:
        if POISON in book.available[rows]:
            raise ZeroDivisionError("poison")
        return together(book, rows, *rest, **more)

    monkeypatch.setattr(clearing, "clear", plain)
    monkeypatch.setattr(clearing, "part_of", coupled)


@pytest.fixture
def rich(world: Any) -> Any:
    return world.organisation("buyer", yuan=100)


@pytest.mark.usefixtures("poison")
class TestPlain:
    def test_the_others_trade_in_the_same_round(self, world: Any, buyer: Any, seller: Any, rich: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_700_000)
        bad = world.bid(rich, POISON, 1_900_000)
        world.window += HOUR
        offer_in(world, seller, 0, 5_000, 1_700_000)
        good = world.bid(buyer, 5_000, 1_900_000)

        summary = world.round()

        assert (summary.volume_st, world.order(good).status, world.order(bad).status) == (5_000, "filled", "open")
        fault = ProductFault.objects.get()
        assert (fault.failures, fault.reason, fault.parked_at) == (1, "ZeroDivisionError: poison", None)
        assert Market.objects.get().state == "open"

    def test_three_times_parks_it_and_says_why(self, world: Any, seller: Any, rich: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_700_000)
        bad = world.bid(rich, POISON, 1_900_000)
        for _ in range(5):
            world.round()

        fault = ProductFault.objects.get()
        assert fault.failures == services.faults.TRIES and fault.parked_at is not None
        with pytest.raises(ProductParked):
            world.bid(rich, 1_000, 1_900_000)
        services.orders.cancel(bad.id, actor=rich, now=world.now)
        assert ledger.hold_rests([bad.hold_id])[bad.hold_id] == 0

    def test_a_person_lets_it_try_again(self, world: Any, buyer: Any, seller: Any, rich: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_700_000)
        bad = world.bid(rich, POISON, 1_900_000)
        for _ in range(3):
            world.round()
        services.orders.cancel(bad.id, actor=rich, now=world.now)

        services.faults.retry(bad.product_id, actor=rich, now=world.now)

        good = world.bid(buyer, 5_000, 1_900_000)
        world.round()
        assert world.order(good).status == "filled"

    def test_one_good_round_forgets_the_bad_ones(self, world: Any, buyer: Any, seller: Any, rich: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_700_000)
        bad = world.bid(rich, POISON, 1_900_000)
        world.round()
        services.orders.cancel(bad.id, actor=rich, now=world.now)
        world.bid(buyer, 1_000, 1_900_000)
        world.round()
        assert not ProductFault.objects.exists()

    def test_next_round_only_waits_for_a_round_that_is_one(self, world: Any, seller: Any, rich: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_700_000)
        bad = world.bid(rich, POISON, 1_900_000, time_in_force="ioc")
        world.round()
        assert world.order(bad).status == "open"


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("time_in_force", ["gtc", "ioc"])
def test_a_flexible_bid_that_cannot_be_cleared_waits_and_holds_up_nobody(
    world: Any, buyer: Any, seller: Any, rich: Any, time_in_force: str
) -> None:
    for hour in range(3):
        offer_in(world, seller, hour, 5_000, 1_700_000)
    bad = flexible(world, rich, POISON, {0: 1_900_000, 1: 1_900_000}, time_in_force=time_in_force)
    joined = world.bid(buyer, 1_000, 1_900_000)
    world.window += 2 * HOUR
    other = world.bid(buyer, 5_000, 1_900_000)

    for _ in range(4):
        world.round()

    assert (world.order(joined).status, world.order(other).status, world.order(bad).status) == (
        "filled",
        "filled",
        "open",
    )
    assert not ProductFault.objects.exists()
    assert selectors.verify() == []


def test_a_flexible_bid_goes_on_after_its_first_hour(world: Any, buyer: Any, seller: Any) -> None:
    bid = flexible(world, buyer, 1_000, {0: 1_900_000, 2: 1_900_000})
    world.now = world.window + HOUR * 1.5
    offer_in(world, seller, 2, 1_000, 1_700_000)
    summary = services.rounds.clear(world.market_id, now=world.now)
    assert summary.volume_st == 1_000
    assert world.order(bid).status == "filled"
