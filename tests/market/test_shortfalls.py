"""What a seller did not deliver, or not as promised, from the request to what it owes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from ledger import selectors as ledger
from market import selectors, services
from market.kernel.orders import Scope
from market.models import AllocationUse, BuyBack, Charge, Order
from tests.market.test_draws import MICRO, reserve
from tests.market.test_flexible import offer_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]
HALF = timedelta(minutes=30)
PRICE = 2_000_000


@pytest.fixture
def bought(world: Any, buyer: Any, seller: Any) -> Any:
    """10,000 ST of one deployment for 0.02 yuan; half of the hour is over."""
    world.bid(buyer, 10_000, PRICE)
    world.offer(seller, 10_000, PRICE)
    world.round()
    world.now = world.window + HALF
    return world


def fail(world: Any, buyer: Any, micro_st: int, request_id: str = "r") -> int:
    (one,) = selectors.allocations(buyer)
    return services.shortfalls.record(one.id, request_id=request_id, micro_st=micro_st, now=world.now)


def next_round(world: Any) -> None:
    """The clock stands within the window, beyond the open round's time."""
    world.now += timedelta(seconds=10)
    assert services.rounds.clear(world.market_id, now=world.now) is not None


def held(actor: Any) -> int:
    return ledger.wallet(actor.organisation_id, "CNY").held_micros


class TestRecord:
    def test_takes_what_was_due_out_of_the_allocation_and_its_hold(self, bought: Any, buyer: Any) -> None:
        assert fail(bought, buyer, 1_500 * MICRO) == 1_500 * MICRO

        (one,) = selectors.allocations(buyer)
        assert (one.short_micro_st, one.left_micro_st) == (1_500 * MICRO, 8_500 * MICRO)
        assert held(buyer) == 17_000
        owed = Charge.objects.get()
        assert (owed.kind, owed.micro_st, owed.price_micros, owed.exact) == (
            "shortfall", 1_500 * MICRO, PRICE, 1_500 * MICRO * PRICE,
        )  # fmt: skip

    def test_counts_a_request_once(self, bought: Any, buyer: Any) -> None:
        assert [fail(bought, buyer, 100 * MICRO) for _ in range(3)] == [100 * MICRO, 0, 0]
        assert Charge.objects.count() == 1

    def test_gives_nothing_beyond_an_even_draw(self, bought: Any, buyer: Any) -> None:
        """Half of the hour is over: 5,000 ST were due, whoever asks how often."""
        found = [fail(bought, buyer, 3_000 * MICRO, f"r{n}") for n in range(4)]

        assert found == [3_000 * MICRO, 2_000 * MICRO, 0, 0]

    def test_gives_nothing_for_what_was_drawn_already(self, bought: Any, buyer: Any) -> None:
        reserved = reserve(bought, buyer, 4_500 * MICRO)
        services.draws.settle(reserved.id, used_micro_st=4_500 * MICRO, now=bought.now)

        assert fail(bought, buyer, 3_000 * MICRO) == 500 * MICRO

    def test_ends_with_the_window(self, bought: Any, buyer: Any) -> None:
        bought.now = bought.window + timedelta(hours=1)
        assert fail(bought, buyer, MICRO) == 0

    def test_is_not_charged_as_undrawn(self, bought: Any, buyer: Any) -> None:
        fail(bought, buyer, 1_500 * MICRO)

        services.obligations.close_windows(now=bought.window + timedelta(hours=2))

        charged = {one.kind: one.micro_st for one in Charge.objects.all()}
        assert charged == {"shortfall": 1_500 * MICRO, "take_or_pay": 8_500 * MICRO}

    def test_releases_to_the_micro_yuan_what_many_small_ones_come_to(self, bought: Any, buyer: Any) -> None:
        for n in range(7):
            fail(bought, buyer, 333_333, f"r{n}")

        assert held(buyer) == 20_000 - 7 * 333_333 * PRICE // 10**12


class TestBuyBack:
    def test_bids_in_the_next_round_at_the_price_paid(self, bought: Any, buyer: Any, seller: Any) -> None:
        fail(bought, buyer, 1_500 * MICRO)
        bought.offer(bought.organisation("provider"), 5_000, 1_700_000)

        next_round(bought)

        order = Order.objects.get(id=BuyBack.objects.get().order_id)
        assert (order.organisation_id, order.quantity_st, order.limit_micros, order.time_in_force) == (
            buyer.organisation_id, 2_000, PRICE, "ioc",
        )  # fmt: skip
        newest = max(selectors.allocations(buyer), key=lambda one: one.round_number)
        assert (newest.quantity_st, newest.is_ahead) == (2_000, False), "paid only as far as it is drawn"

    def test_is_tried_once(self, bought: Any, buyer: Any) -> None:
        fail(bought, buyer, 500 * MICRO)
        for _ in range(3):
            next_round(bought)

        assert BuyBack.objects.count() == 1
        assert Order.objects.filter(organisation_id=buyer.organisation_id).count() == 2
        assert held(buyer) == 19_000, "the bid ended with its round"

    def test_joins_what_fell_short_since_the_last_round(self, bought: Any, buyer: Any) -> None:
        for n in range(3):
            fail(bought, buyer, 900 * MICRO, f"r{n}")

        next_round(bought)

        assert BuyBack.objects.values("order_id").distinct().count() == 1
        assert Order.objects.get(id=BuyBack.objects.first().order_id).quantity_st == 3_000

    def test_without_money_leaves_the_rest_as_it_is(self, bought: Any, buyer: Any) -> None:
        """The wallet is empty but for what was released, and a lot costs more than that."""
        free = ledger.wallet(buyer.organisation_id, "CNY").available_micros
        bought.bid(buyer, free // 2_000 * 1_000, PRICE)
        fail(bought, buyer, 100 * MICRO)

        assert services.shortfalls.buy_back(bought.market_id, now=bought.now) == 0
        assert BuyBack.objects.get().order_id is None

    def test_asks_where_the_first_bid_asked(self, world: Any, buyer: Any, seller: Any) -> None:
        """Who named a vendor does not get another one's machines for it."""
        world.offer(seller, 10_000, PRICE - 20_000)
        world.bid(buyer, 10_000, PRICE, scope=Scope(vendors=frozenset({"nvidia"}), minimum_st=10_000))
        world.round()
        world.now = world.window + HALF
        fail(world, buyer, 1_500 * MICRO)
        offer_in(world, world.organisation("provider"), 0, 5_000, 1_700_000, vendor="huawei")

        next_round(world)

        again = selectors.orders_many([BuyBack.objects.get().order_id])
        assert [(one.scope.vendors, one.scope.minimum_st, one.filled_st) for one in again.values()] == [
            (frozenset({"nvidia"}), 0, 0),
        ]  # fmt: skip

    def test_row_is_never_changed(self, bought: Any, buyer: Any) -> None:
        fail(bought, buyer, 100 * MICRO)
        services.shortfalls.buy_back(bought.market_id, now=bought.now)
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE market_buyback SET order_id = NULL")


class TestPromise:
    def draw(self, world: Any, buyer: Any, *kept: bool | None) -> None:
        for one in kept:
            reserved = reserve(world, buyer, 100 * MICRO, now=world.now)
            services.draws.settle(reserved.id, used_micro_st=100 * MICRO, now=world.now, kept=one)
            services.draws.settle(reserved.id, used_micro_st=100 * MICRO, now=world.now, kept=one)  # told twice
            world.now += timedelta(minutes=2)

    def close(self, world: Any) -> dict[str, tuple[int, int]]:
        services.obligations.close_windows(now=world.window + timedelta(hours=2))
        return {one.kind: (one.micro_st, one.price_micros) for one in Charge.objects.all()}

    def test_that_is_kept_costs_the_seller_nothing(self, bought: Any, buyer: Any) -> None:
        self.draw(bought, buyer, True, True, None, None)

        use = AllocationUse.objects.get()
        assert (use.judged, use.kept) == (2, 2)
        assert self.close(bought) == {"take_or_pay": (9_600 * MICRO, PRICE)}

    def test_that_is_broken_gives_back_three_tenths_of_all_that_was_drawn(self, bought: Any, buyer: Any) -> None:
        self.draw(bought, buyer, True, False, None)

        assert self.close(bought)["promise"] == (300 * MICRO, 600_000)

    def test_that_is_broken_costs_the_lower_grades_price_where_it_traded(
        self, world: Any, buyer: Any, seller: Any
    ) -> None:
        services.catalogue.set_list_price(
            line=world.line, grade="batch", price_micros=1_500_000, valid_from=world.now.date(), source="price list"
        )
        world.bid(buyer, 10_000, PRICE)
        world.offer(seller, 10_000, PRICE)
        world.grade = "batch"
        world.bid(buyer, 1_000, 1_300_000)
        world.offer(seller, 1_000, 1_300_000)
        world.round()
        world.grade = "interactive"
        world.now = world.window + HALF
        (batch,) = [view for view in selectors.allocations(buyer) if view.grade == "batch"]
        reserved = reserve(world, buyer, 100 * MICRO, avoid=[batch.deployment_id])
        services.draws.settle(reserved.id, used_micro_st=100 * MICRO, now=world.now, kept=False)

        assert self.close(world)["promise"] == (100 * MICRO, 700_000)

    def test_that_is_broken_is_not_priced_by_one_lot_that_traded_since(
        self, bought: Any, buyer: Any, seller: Any
    ) -> None:
        self.draw(bought, buyer, False)
        services.catalogue.set_list_price(
            line=bought.line, grade="batch", price_micros=PRICE, valid_from=bought.now.date(), source="price list"
        )
        bought.grade = "batch"
        bought.bid(bought.organisation("buyer", yuan=1), 1_000, 2_040_000)
        bought.offer(seller, 1_000, 2_040_000)
        next_round(bought)

        assert self.close(bought)["promise"] == (100 * MICRO, 600_000)
