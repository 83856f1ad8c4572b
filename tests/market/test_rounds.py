import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import selectors as ledger
from market import selectors, services
from market.kernel.errors import OutsideCollar
from market.models import Allocation, Book, Fill, Market, Round, RoundPrice, Supply

YUAN = 10**6
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


def held(actor):
    return ledger.wallet(actor.organisation_id, "CNY").held_micros


class TestRound:
    def test_fills_both_sides_at_one_price_and_allocates_what_was_bought(self, world, buyer, seller):
        bid = world.bid(buyer, 3_000, 2_000_000)
        offer = world.offer(seller, 5_000, 1_800_000)

        summary = world.round()

        bought, sold = world.order(bid), world.order(offer)
        assert (bought.status, bought.filled_st) == ("filled", 3_000)
        assert (sold.status, sold.filled_st, sold.left_st) == ("partially_filled", 3_000, 2_000)
        assert bought.average_micros == sold.average_micros == 1_800_000  # an offer with units left bounds the price
        assert (summary.fills, summary.allocations, summary.volume_st) == (2, 1, 3_000)
        (allocation,) = selectors.allocations(buyer)
        assert (allocation.buyer_id, allocation.seller_id) == (buyer.organisation_id, seller.organisation_id)
        assert (allocation.quantity_st, allocation.price_micros) == (3_000, 1_800_000)
        assert allocation.left_micro_st == 3_000 * 10**6

    def test_shrinks_the_hold_from_the_limit_to_the_price(self, world, buyer, seller):
        bid = world.bid(buyer, 4_000, 2_000_000)
        world.offer(seller, 3_000, 1_800_000)

        world.round()

        (allocation,) = selectors.allocations(buyer)
        rests = ledger.hold_rests([bid.hold_id, allocation.hold_id])
        assert rests[bid.hold_id] == 2_000  # 1,000 ST still open at the limit
        assert rests[allocation.hold_id] == allocation.cost_micros == 6_000  # 3,000 ST at the price
        assert held(buyer) == 8_000

    def test_counts_what_was_sold_against_its_supply(self, world, buyer, seller):
        world.bid(buyer, 3_600_000, 2_000_000)
        world.offer(seller, 7_200_000, 1_800_000)

        world.round()

        supply = Supply.objects.get()
        assert supply.sold_st == 3_600_000
        assert supply.due_micro_st_per_second == 1_000 * 10**6

    def test_sells_of_the_current_hour_only_what_the_rate_still_gives(self, world, buyer, seller):
        world.window = world.window - timedelta(hours=1)
        bid = world.bid(buyer, 3_600_000, 2_000_000)
        world.now = world.window + timedelta(minutes=59)
        world.offer(seller, 3_600_000, 1_800_000, supply_id=world.supply(seller, 3_600_000, rate=1_000))

        summary = services.rounds.clear(world.market_id, now=world.now)

        assert summary.volume_st == 60_000
        assert world.order(bid).filled_st == 60_000

    def test_of_nothing_is_a_round_too(self, world):
        summary = world.round()

        assert (summary.number, summary.orders, summary.fills) == (1, 0, 0)
        assert selectors.the_market().round_number == 1

    def test_prints_no_price_where_nothing_trades(self, world, buyer, seller):
        world.bid(buyer, 1_000, 1_700_000)
        world.offer(seller, 1_000, 1_800_000)

        world.round()

        (said,) = RoundPrice.objects.all()
        assert (said.price_micros, said.volume_st, said.indicative_micros) == (None, 0, 1_750_000)

    def test_is_not_cleared_before_its_time(self, world):
        assert services.rounds.clear(world.market_id, now=world.now) is None
        assert services.rounds.clear_due(now=world.now) == []

    def test_shows_the_seed_that_it_committed_to(self, world):
        commitment = bytes(Round.objects.get(number=1).seed_commitment)

        world.round()

        cleared, following = Round.objects.order_by("number")
        assert hashlib.sha256(bytes(cleared.seed)).digest() == commitment
        assert following.seed is None
        assert hashlib.sha256(bytes(Market.objects.get().seed)).digest() == bytes(following.seed_commitment)

    def test_after_a_stall_comes_once(self, world):
        world.now += timedelta(minutes=1)

        assert len(services.rounds.clear_due(now=world.now)) == 1
        assert services.rounds.clear_due(now=world.now) == []
        assert world.now < selectors.the_market().next_close_at <= world.now + timedelta(seconds=5.5)

    def test_takes_the_price_of_the_last_rounds_as_reference(self, world, buyer, seller):
        world.bid(buyer, 1_000, 2_200_000)
        world.offer(seller, 1_000, 2_200_000)

        world.round()

        product = selectors.product_at(world.line, world.grade, world.window)
        quote = selectors.quote(product, now=world.now)
        assert (quote.last_price_micros, quote.reference_micros) == (2_200_000, 2_200_000)
        assert (quote.collar.low, quote.collar.high) == (1_760_000, 2_640_000)

    def test_widens_a_collar_that_keeps_bids_and_offers_apart(self, world, buyer, seller):
        """At a list price of 2 yuan the collar ends at 2.40; the only offer asks 2.60."""
        world.offer(seller, 1_000, 2_600_000)
        world.bid(buyer, 1_000, 2_400_000)
        product = selectors.product_at(world.line, world.grade, world.window)
        ends = []
        for _ in range(4):
            world.round()
            ends.append(selectors.quote(product, now=world.now).collar.high)

        assert ends == [2_400_000, 2_400_000, 2_800_000, 2_400_000], "three rounds at its end, then one that is not"
        world.round()

    def test_never_lets_two_lines_sell_the_same_chips_in_one_hour(self, world, buyer, seller):
        chips = uuid4()
        for line in ("llama-3-8b", "llama-2-7b"):
            supply_id = world.supply(seller, 2_000, group=chips, line=line)
            world.offer(seller, 2_000, 1_800_000, supply_id=supply_id, line=line)
            world.bid(buyer, 1_000, 2_000_000, line=line)

        first = world.round()
        world.bid(buyer, 1_000, 2_000_000, line="llama-3-8b")
        world.bid(buyer, 1_000, 2_000_000, line="llama-2-7b")
        second = world.round()

        assert (first.allocations, second.allocations) == (1, 1)
        assert Supply.objects.filter(sold_st__gt=0).count() == 1

    def test_leaves_the_younger_of_two_own_orders_out(self, world):
        both = world.organisation("both", yuan=100)
        bid = world.bid(both, 1_000, 1_900_000)
        offer = world.offer(both, 1_000, 1_950_000)
        Book.objects.filter(order_id=offer.id).update(limit_micros=1_900_000)  # as if it had slipped in

        summary = world.round()
        Book.objects.filter(order_id=offer.id).update(limit_micros=1_950_000)

        assert summary.fills == 0
        assert world.order(bid).is_open

    def test_publishes_a_frame_in_sequence(self, world, buyer, seller):
        world.bid(buyer, 1_000, 2_000_000)
        world.offer(seller, 2_000, 2_000_000)
        world.round()
        world.round()

        first, second = (json.loads(frame.payload) for frame in selectors.feed_after(world.market_id, 0))
        assert (first["seq"], second["prev_seq"], second["seq"]) == (1, 1, 2)
        (product,) = first["products"]
        assert (product["price"], product["volume_st"]) == ("2.00", "1000")
        assert product["offers"] == [["2.00", "1000"]]
        assert product["bids"] == []
        assert str(buyer.organisation_id) not in json.dumps(first)

    def test_keeps_the_newest_frame_however_old_it_is(self, world):
        world.round()
        world.round()

        services.sweep.sweep(now=world.now + timedelta(hours=2))

        assert [frame.sequence for frame in selectors.feed_after(world.market_id, 0)] == [2]

    def test_keeps_private_lines_out_of_the_public_feed(self, world, seller):
        owner = world.organisation("both", yuan=10)
        services.catalogue.add_line(
            slug="own", publisher="Us", model="own", display_name="Own", card_name="llama-3-8b", card_format="fp16",
            context_limit=8_192, reference_context=2_048, tokenizer="bytes", now=world.now,
            owner_id=owner.organisation_id,
        )  # fmt: skip
        world.bid(owner, 1_000, 2_000_000, line="own")
        world.offer(seller, 1_000, 2_000_000)

        world.round()

        (product,) = json.loads(selectors.snapshot(world.market_id).payload)["products"]
        assert product["line"] == world.line

    def test_that_raises_leaves_nothing_and_parks_its_market_after_three_tries(self, world, buyer, seller, monkeypatch):
        world.bid(buyer, 1_000, 2_000_000)
        world.offer(seller, 1_000, 2_000_000)
        world.now = selectors.the_market().next_close_at
        monkeypatch.setattr(services.rounds, "clear_book", lambda *_, **__: 1 / 0)

        for _ in range(3):
            assert services.rounds.clear_due(now=world.now) == []

        state = selectors.the_market()
        assert (state.state, state.round_number) == ("parked", 0)
        assert "ZeroDivisionError" in state.state_reason
        assert not Fill.objects.exists()

        monkeypatch.undo()
        services.markets.resume(world.market_id, actor=buyer, now=world.now)
        assert services.rounds.clear(world.market_id, now=world.now).fills == 2


class TestProperties:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(st.sampled_from(["bid", "offer", "cancel", "ioc"]), st.integers(1, 20), st.integers(160, 240)),
            min_size=1, max_size=14,
        )
    )  # fmt: skip
    def test_whatever_is_placed_and_cancelled_nothing_is_lost(self, world, steps):
        with transaction.atomic():
            self._run(replace(world), steps)
            assert selectors.verify() == []
            assert ledger.verify() == []
            transaction.set_rollback(True)

    def _run(self, world, steps):
        buyers = [world.organisation("buyer", yuan=10) for _ in range(2)]
        sellers = [world.organisation("provider") for _ in range(2)]
        placed = []
        for number, (step, lots, ticks) in enumerate(steps):
            buyer, seller = buyers[number % 2], sellers[number % 2]
            with suppress(OutsideCollar):  # it follows the prices of earlier rounds
                if step == "offer":
                    placed.append((seller, world.offer(seller, lots * 1_000, ticks * 10_000)))
                elif step in {"bid", "ioc"}:
                    time_in_force = "ioc" if step == "ioc" else "gtc"
                    placed.append((buyer, world.bid(buyer, lots * 1_000, ticks * 10_000, time_in_force=time_in_force)))
            if step == "cancel" and placed:
                owner, order = placed[lots % len(placed)]
                if world.order(order).is_open:
                    services.orders.cancel(order.id, actor=owner, now=world.now)
            if number % 5 == 4:
                world.round()
        world.round()
        for buyer in buyers:
            owed = sum(one.held_micros for one in selectors.orders(buyer))
            bought = sum(one.cost_micros for one in selectors.allocations(buyer))
            assert held(buyer) == owed + bought


class TestGuards:
    """What the database refuses, whoever asks."""

    @pytest.fixture
    def traded(self, world, buyer, seller):
        self.bid = world.bid(buyer, 3_000, 2_000_000)
        self.offer = world.offer(seller, 2_000, 2_000_000)
        world.round()
        return world

    @pytest.mark.parametrize("table", ["order", "orderend", "fill", "allocation", "roundprice"])
    @pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
    def test_what_was_said_is_never_changed(self, traded, table, statement):
        column = {"orderend": "unfilled_st", "roundprice": "volume_st"}.get(table, "quantity_st")

        with pytest.raises(IntegrityError, match=r"append_only|never changed"), transaction.atomic():
            connection.check_constraints()  # what is still to be checked would keep TRUNCATE from starting
            connection.cursor().execute(statement.format(f"market_{table}", column, column))

    def _fill(self, world, **changes):
        allocation = Allocation.objects.get()
        product = selectors.product_at(world.line, world.grade, world.window)
        current = Round.objects.get(number=2)
        if changes.pop("frozen", True):
            Round.objects.filter(id=current.id).update(state="frozen", root=b"r" * 32, closed_at=world.now)
        values = {
            "round_id": current.id, "order_id": self.bid.id, "cell_id": allocation.cell_id, "side": 0,
            "quantity_st": 1_000, "price_micros": 2_000_000,
        }  # fmt: skip
        assert product is not None
        with transaction.atomic():
            Fill.objects.bulk_create([Fill(**{**values, **changes})])

    @pytest.mark.parametrize(
        ("changes", "constraint"),
        [
            ({"frozen": False}, "market_fill_round"),
            ({"round_id": uuid4()}, "market_fill_round"),
            ({"price_micros": 2_010_000}, "market_fill_terms"),
            ({"side": 1}, "market_fill_terms"),
            ({"cell_id": uuid4()}, "market_fill_terms"),
            ({"order_id": uuid4()}, "market_fill_terms"),
            ({}, "market_fill_balance"),
            ({"quantity_st": 0}, "market_fill_positive"),
        ],
    )
    def test_a_fill_keeps_to_its_round_its_order_and_its_counterpart(self, traded, changes, constraint):
        with transaction.atomic():
            with pytest.raises(IntegrityError) as refusal:
                self._fill(traded, **changes)
            assert refusal.value.__cause__.diag.constraint_name == constraint
            transaction.set_rollback(True)

    def test_a_cleared_round_takes_no_more_fills_and_does_not_open_again(self, traded):
        cleared = Round.objects.get(number=1)

        with pytest.raises(IntegrityError, match="cleared"), transaction.atomic():
            Round.objects.filter(id=cleared.id).update(state="frozen")

    def test_a_seed_that_was_not_committed_to_is_refused(self, traded):
        with transaction.atomic():
            rows = Round.objects.filter(number=2)
            rows.update(state="frozen", root=b"r" * 32, closed_at=traded.now)
            with pytest.raises(IntegrityError, match="committed"), transaction.atomic():
                rows.update(state="cleared", seed=b"s" * 32)
            transaction.set_rollback(True)

    @pytest.mark.parametrize(("number", "constraint"), [(1, "market_allocation_round"), (2, "market_allocation_sums")])
    def test_an_allocation_needs_a_frozen_round_and_its_fills(self, traded, number, constraint):
        with transaction.atomic():
            Round.objects.filter(number=2).update(state="frozen", root=b"r" * 32, closed_at=traded.now)
            row = Allocation.objects.get()
            row.pk, row.round_id = uuid4(), Round.objects.get(number=number).id
            with pytest.raises(IntegrityError) as refusal, transaction.atomic():
                Allocation.objects.bulk_create([row])
            assert refusal.value.__cause__.diag.constraint_name == constraint
            transaction.set_rollback(True)

    def test_supply_is_never_sold_twice(self, traded):
        with pytest.raises(IntegrityError, match="market_supply_not_oversold"), transaction.atomic():
            Supply.objects.update(sold_st=2_001)
