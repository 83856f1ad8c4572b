from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from ledger import selectors as ledger
from ledger.services import InsufficientFunds
from market import selectors, services
from market.kernel import errors
from market.models import Book, Order, OrderEnd
from market.services import OrderDraft

YUAN = 10**6
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


def held(actor):
    return ledger.wallet(actor.organisation_id, "CNY").held_micros


class TestPlace:
    def test_holds_the_worst_case_of_a_bid(self, world, buyer):
        placed = world.bid(buyer, 2_000_000, 1_800_000)

        assert placed.status == "open"
        assert placed.left_st == 2_000_000
        assert held(buyer) == placed.held_micros == 3_600_000

    def test_refuses_a_bid_that_the_wallet_does_not_cover(self, world, buyer):
        with pytest.raises(InsufficientFunds):
            world.bid(buyer, 10**9, 2 * YUAN)

        assert not Order.objects.exists()
        assert held(buyer) == 0

    def test_refuses_more_than_the_declared_capacity(self, world, seller):
        supply_id = world.supply(seller, 5_000)
        world.offer(seller, 3_000, 2 * YUAN, supply_id=supply_id)

        with pytest.raises(errors.NoSupply):
            world.offer(seller, 3_000, 2 * YUAN, supply_id=supply_id)

    def test_refuses_capacity_of_somebody_else(self, world, seller):
        supply_id = world.supply(world.organisation("provider"), 5_000)

        with pytest.raises(errors.NoSupply):
            world.offer(seller, 3_000, 2 * YUAN, supply_id=supply_id)

    @pytest.mark.parametrize("change", [{"line": "unknown"}, {"line": "x' OR 1=1 --"}])
    def test_refuses_an_unknown_line(self, world, buyer, change):
        with pytest.raises(errors.UnknownLine):
            world.bid(buyer, 1_000, 2 * YUAN, **change)

    def test_refuses_an_unknown_grade(self, world, buyer):
        with pytest.raises(errors.UnknownGrade):
            world.bid(buyer, 1_000, 2 * YUAN, grade="gold")

    def test_refuses_a_closed_window(self, world, buyer):
        with pytest.raises(errors.WindowClosed):
            world.bid(buyer, 1_000, 2 * YUAN, window_start=world.window - timedelta(hours=2))

    def test_names_the_bound_of_the_collar(self, world, buyer, seller):
        with pytest.raises(errors.OutsideCollar) as bid:
            world.bid(buyer, 1_000, 2_410_000)
        with pytest.raises(errors.OutsideCollar) as offer:
            world.offer(seller, 1_000, 1_590_000)

        assert bid.value.details == {"highest_micros": 2_400_000}
        assert offer.value.details == {"lowest_micros": 1_600_000}

    def test_lets_the_platform_place_beyond_the_collar(self, world, seller):
        supply_id = world.supply(seller, 1_000)
        draft = OrderDraft(
            seller.organisation_id, "sell", world.line, world.grade, world.window, 1_000, 100_000, supply_id=supply_id
        )

        assert services.orders.place(draft, actor=None, now=world.now).status == "open"

    def test_refuses_to_trade_with_itself(self, world):
        both = world.organisation("both", yuan=100)
        world.offer(both, 1_000, 2 * YUAN)

        with pytest.raises(errors.SelfTrade):
            world.bid(both, 1_000, 2 * YUAN)
        world.bid(both, 1_000, 2 * YUAN - 10_000)

    def test_refuses_an_offer_into_its_own_bid(self, world):
        both = world.organisation("both", yuan=100)
        world.bid(both, 1_000, 2 * YUAN)

        with pytest.raises(errors.SelfTrade):
            world.offer(both, 1_000, 2 * YUAN)

    def test_a_repeated_client_order_id_gives_the_first_order(self, world, buyer):
        first = world.bid(buyer, 1_000, 2 * YUAN, client_order_id="mine")
        again = world.bid(buyer, 1_000, 2 * YUAN, client_order_id="mine")

        assert first.id == again.id
        assert held(buyer) == 2_000

    def test_a_repeated_client_order_id_with_other_content_is_refused(self, world, buyer):
        world.bid(buyer, 1_000, 2 * YUAN, client_order_id="mine")

        with pytest.raises(errors.DuplicateClientOrderId):
            world.bid(buyer, 2_000, 2 * YUAN, client_order_id="mine")

    def test_two_organisations_may_use_the_same_client_order_id(self, world, buyer):
        world.bid(buyer, 1_000, 2 * YUAN, client_order_id="mine")
        other = world.organisation("buyer", yuan=10)

        assert world.bid(other, 2_000, 2 * YUAN, client_order_id="mine").quantity_st == 2_000

    def test_many_are_placed_together_or_not_at_all(self, world, buyer):
        draft = OrderDraft(buyer.organisation_id, "buy", world.line, world.grade, world.window, 1_000, 2 * YUAN)

        with pytest.raises(errors.OffLot):
            services.orders.place_many([draft, replace(draft, quantity_st=1)], actor=buyer, now=world.now)
        assert not Order.objects.exists()
        assert len(services.orders.place_many([draft] * 5, actor=buyer, now=world.now)) == 5

    def test_a_halted_market_takes_no_orders_and_cancels_them(self, world, buyer):
        staff = world.organisation("buyer")
        placed = world.bid(buyer, 1_000, 2 * YUAN)
        services.markets.halt(world.market_id, reason="fire drill", actor=staff, now=world.now)

        with pytest.raises(errors.MarketHalted):
            world.bid(buyer, 1_000, 2 * YUAN)
        assert services.orders.cancel(placed.id, actor=buyer, now=world.now).status == "cancelled"

        services.markets.resume(world.market_id, actor=staff, now=world.now)
        assert world.bid(buyer, 1_000, 2 * YUAN).status == "open"


class TestCancel:
    def test_gives_the_whole_hold_back(self, world, buyer):
        placed = world.bid(buyer, 2_000_000, 1_800_000)

        ended = services.orders.cancel(placed.id, actor=buyer, now=world.now)

        assert (ended.status, ended.left_st, ended.ended_at) == ("cancelled", 0, world.now)
        assert held(buyer) == 0
        assert not Book.objects.exists()

    def test_twice_gives_the_same_answer(self, world, buyer):
        placed = world.bid(buyer, 1_000, 2 * YUAN)

        first = services.orders.cancel(placed.id, actor=buyer, now=world.now)

        assert services.orders.cancel(placed.id, actor=buyer, now=world.now) == first

    def test_keeps_what_is_filled(self, world, buyer, seller):
        placed = world.bid(buyer, 3_000, 2 * YUAN)
        world.offer(seller, 1_000, 2 * YUAN)
        world.round()

        ended = services.orders.cancel(placed.id, actor=buyer, now=world.now)

        assert (ended.status, ended.filled_st) == ("cancelled", 1_000)
        assert held(buyer) == 2_000
        assert OrderEnd.objects.get(order_id=placed.id).unfilled_st == 2_000

    def test_of_a_filled_order_is_refused(self, world, buyer, seller):
        placed = world.bid(buyer, 1_000, 2 * YUAN)
        world.offer(seller, 1_000, 2 * YUAN)
        world.round()

        with pytest.raises(errors.OrderEnded) as refusal:
            services.orders.cancel(placed.id, actor=buyer, now=world.now)
        assert refusal.value.details == {"status": "filled"}

    def test_of_somebody_elses_order_finds_nothing(self, world, buyer):
        placed = world.bid(buyer, 1_000, 2 * YUAN)
        other = world.organisation("buyer")

        with pytest.raises(errors.NotFound):
            services.orders.cancel(placed.id, actor=other, now=world.now)
        with pytest.raises(errors.NotFound):
            services.orders.cancel(uuid4(), actor=other, now=world.now)
        assert world.order(placed).is_open

    def test_all_says_how_many_and_leaves_others_alone(self, world, buyer):
        for _ in range(3):
            world.bid(buyer, 1_000, 2 * YUAN)
        other = world.organisation("buyer", yuan=10)
        kept = world.bid(other, 1_000, 2 * YUAN)

        assert services.orders.cancel_all(actor=buyer, now=world.now) == 3
        assert services.orders.cancel_all(actor=buyer, now=world.now) == 0
        assert held(buyer) == 0
        assert world.order(kept).is_open


class TestExpiry:
    def test_of_a_window_ends_its_orders_and_gives_their_holds_back(self, world, buyer):
        placed = world.bid(buyer, 1_000, 2 * YUAN)

        services.sweep.sweep(now=world.window + timedelta(minutes=59))
        assert world.order(placed).is_open
        services.sweep.sweep(now=world.window + timedelta(hours=1))

        assert world.order(placed).status == "expired"
        assert held(buyer) == 0

    def test_of_a_good_till_time_order_keeps_it_out_of_the_round(self, world, buyer, seller):
        soon = world.now + timedelta(seconds=1)
        placed = world.bid(buyer, 1_000, 2 * YUAN, time_in_force="gtt", expires_at=soon)
        world.offer(seller, 1_000, 2 * YUAN)

        summary = world.round()
        services.sweep.sweep(now=world.now)

        assert summary.fills == 0
        assert world.order(placed).status == "expired"

    def test_of_an_order_for_the_next_round_only_comes_with_that_round(self, world, buyer, seller):
        placed = world.bid(buyer, 3_000, 2 * YUAN, time_in_force="ioc")
        world.offer(seller, 1_000, 1_900_000)

        world.round()

        after = world.order(placed)
        assert (after.status, after.filled_st) == ("expired", 1_000)
        assert held(buyer) == after.paid_micros


class TestReads:
    def test_one_organisation_never_sees_the_orders_of_another(self, world, buyer):
        placed = world.bid(buyer, 1_000, 2 * YUAN)
        other = world.organisation("buyer")

        assert selectors.orders(other) == []
        with pytest.raises(errors.NotFound):
            selectors.order(placed.id, other)
        assert [one.id for one in selectors.orders(buyer)] == [placed.id]

    def test_a_private_line_is_its_owners_alone(self, world, buyer):
        owner = world.organisation("buyer", yuan=10)
        services.catalogue.add_line(
            slug="own", publisher="Us", model="own", display_name="Own", card_name="llama-3-8b", card_format="fp16",
            context_limit=8_192, reference_context=2_048, tokenizer="bytes", now=world.now,
            owner_id=owner.organisation_id,
        )  # fmt: skip

        assert "own" not in [line.slug for line in selectors.lines(buyer.organisation_id)]
        assert "own" in [line.slug for line in selectors.lines(owner.organisation_id)]
        with pytest.raises(errors.UnknownLine):
            world.bid(buyer, 1_000, 2 * YUAN, line="own")
        assert world.bid(owner, 1_000, 2 * YUAN, line="own").line == "own"

    def test_pages_follow_each_other_newest_first(self, world, buyer):
        placed = [world.bid(buyer, 1_000, 2 * YUAN).id for _ in range(5)]

        first = selectors.orders(buyer, limit=3)
        second = selectors.orders(buyer, limit=3, before=first[-1].id)

        assert [one.id for one in [*first, *second]] == placed[::-1]
