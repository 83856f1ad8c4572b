"""Changes of open orders."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.selectors import clock
from ledger import selectors as ledger
from ledger.services import InsufficientFunds
from market import selectors, services
from market.kernel import errors
from market.models import Amendment, Book
from market.services import Change
from tests.market.test_api import ORDERS, client_of, place

YUAN = 10**6
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


def held(actor):
    return ledger.wallet(actor.organisation_id, "CNY").held_micros


def amend(world, actor, order, **changes):
    return services.amending.amend(order.id, Change(**changes), actor=actor, now=world.now)


class TestAmend:
    def test_changes_price_and_quantity_with_the_hold(self, world, buyer):
        bid = world.bid(buyer, 1_000_000, 1_800_000)

        after = amend(world, buyer, bid, limit_micros=2 * YUAN, quantity_st=3_000_000)

        assert (after.limit_micros, after.quantity_st, after.left_st) == (2 * YUAN, 3_000_000, 3_000_000)
        assert held(buyer) == after.held_micros == 6 * YUAN
        assert (after.amended_at, after.placed) == (world.now, bid.asked)
        assert amend(world, buyer, bid, limit_micros=1_700_000).held_micros == held(buyer) == 5_100_000

    @pytest.mark.parametrize(
        ("changes", "is_new"),
        [
            ({"limit_micros": 1_810_000}, True), ({"limit_micros": 1_790_000}, True), ({"quantity_st": 4_000}, True),
            ({"quantity_st": 2_000, "limit_micros": 1_790_000}, True), ({"quantity_st": 2_000}, False),
        ],
    )  # fmt: skip
    def test_starts_a_new_cohort_for_a_new_price_or_more_only(self, world, buyer, changes, is_new):
        bid = world.bid(buyer, 3_000, 1_800_000)
        world.round()

        after = amend(world, buyer, bid, **changes)

        assert (bid.cohort, after.cohort) == (1, 2 if is_new else 1)
        assert Book.objects.get().cohort == after.cohort

    def test_to_what_it_is_writes_nothing(self, world, buyer):
        bid = world.bid(buyer, 3_000, 1_800_000)
        world.round()

        assert amend(world, buyer, bid, limit_micros=1_800_000, quantity_st=3_000) == bid
        assert not Amendment.objects.exists()

    def test_of_a_partly_filled_bid_keeps_its_fills(self, world, buyer, seller):
        bid = world.bid(buyer, 3_000, 2 * YUAN)
        world.offer(seller, 1_000, 2 * YUAN)
        world.round()

        for quantity in (0, 1_000):
            with pytest.raises((errors.BelowFilled, errors.OffLot)):
                amend(world, buyer, bid, quantity_st=quantity)
        after = amend(world, buyer, bid, quantity_st=2_000)

        assert (after.filled_st, after.left_st, after.status) == (1_000, 1_000, "partially_filled")
        assert held(buyer) == 2_000 + 2_000

    def test_fills_at_the_limit_that_holds_now(self, world, buyer, seller):
        bid = world.bid(buyer, 2_000, 1_800_000)
        world.offer(seller, 1_000, 1_700_000)
        world.round()
        assert world.order(bid).average_micros == 1_800_000  # a bid with units left bounds the price
        amend(world, buyer, bid, limit_micros=2 * YUAN)
        world.offer(seller, 1_000, 1_900_000)

        world.round()

        after = world.order(bid)
        assert (after.status, after.quantity_st) == ("filled", 2_000)
        assert held(buyer) == after.paid_micros == 1_800 + 1_950
        assert after.saved_micros == 50

    def test_to_a_lower_limit_does_not_blame_the_fills_before(self, world, buyer, seller):
        bid = world.bid(buyer, 2_000, 2 * YUAN)
        world.offer(seller, 1_000, 2 * YUAN)
        world.round()

        after = amend(world, buyer, bid, limit_micros=1_700_000)

        assert selectors.verify() == []
        assert after.saved_micros == 0

    def test_loses_its_place_to_an_older_bid(self, world, buyer, seller):
        first, second = world.bid(buyer, 2_000, 1_900_000), world.bid(buyer, 2_000, 2 * YUAN)
        world.round()
        amend(world, buyer, first, limit_micros=2 * YUAN)
        world.offer(seller, 2_000, 2 * YUAN)

        world.round()

        assert (world.order(first).filled_st, world.order(second).filled_st) == (0, 2_000)

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"limit_micros": 1_805_000}, errors.OffTick), ({"limit_micros": 2_410_000}, errors.OutsideCollar),
            ({"quantity_st": 1_500}, errors.OffLot), ({"quantity_st": 10**16}, errors.OrderTooLarge),
            ({"quantity_st": 10**10}, InsufficientFunds),
        ],
    )  # fmt: skip
    def test_keeps_to_the_rules_of_a_new_order(self, world, buyer, changes, error):
        bid = world.bid(buyer, 1_000, 1_800_000)

        with pytest.raises(error):
            amend(world, buyer, bid, **changes)

        assert world.order(bid) == bid
        assert not Amendment.objects.exists()
        assert held(buyer) == 1_800

    def test_does_not_trade_with_itself(self, world):
        both = world.organisation("both", yuan=10)
        bid = world.bid(both, 1_000, 1_800_000)
        world.offer(both, 1_000, 1_900_000)

        with pytest.raises(errors.SelfTrade):
            amend(world, both, bid, limit_micros=1_900_000)
        assert amend(world, both, bid, limit_micros=1_890_000).is_open

    def test_of_an_offers_order_is_refused(self, world, seller):
        offer = world.offer(seller, 1_000, 2 * YUAN)

        with pytest.raises(errors.NotAmendable):
            amend(world, seller, offer, limit_micros=1_900_000)

    def test_moves_the_expiry_of_a_good_till_time_bid_only(self, world, buyer):
        soon = world.now + timedelta(minutes=5)
        timed = world.bid(buyer, 1_000, 2 * YUAN, time_in_force="gtt", expires_at=soon)
        lasting = world.bid(buyer, 1_000, 2 * YUAN)

        after = amend(world, buyer, timed, expires_at=soon + timedelta(days=3))

        assert (after.expires_at, after.cohort) == (world.window + timedelta(hours=1), timed.cohort)
        for order, expires_at in ((timed, world.now), (lasting, soon)):
            with pytest.raises(errors.BadExpiry):
                amend(world, buyer, order, expires_at=expires_at)

    def test_does_not_bring_an_order_back(self, world, buyer):
        soon = world.now + timedelta(minutes=5)
        timed = world.bid(buyer, 1_000, 2 * YUAN, time_in_force="gtt", expires_at=soon)
        cancelled = world.bid(buyer, 1_000, 2 * YUAN)
        services.orders.cancel(cancelled.id, actor=buyer, now=world.now)
        world.now = soon

        for order, status in ((timed, "expired"), (cancelled, "cancelled")):
            with pytest.raises(errors.OrderEnded) as refusal:
                amend(world, buyer, order, expires_at=soon + timedelta(minutes=1))
            assert refusal.value.details == {"status": status}

    def test_of_somebody_elses_order_or_in_a_halt_is_refused(self, world, buyer):
        bid = world.bid(buyer, 1_000, 2 * YUAN)
        services.markets.halt(world.market_id, reason="drill", actor=buyer, now=world.now)

        with pytest.raises(errors.NotFound):
            amend(world, world.organisation("buyer"), bid, quantity_st=2_000)
        with pytest.raises(errors.MarketHalted):
            amend(world, buyer, bid, quantity_st=2_000)

    def test_leaves_the_client_order_id_to_what_was_placed(self, world, buyer):
        first = world.bid(buyer, 1_000, 2 * YUAN, client_order_id="mine")
        amend(world, buyer, first, quantity_st=2_000)

        assert world.bid(buyer, 1_000, 2 * YUAN, client_order_id="mine").id == first.id
        with pytest.raises(errors.DuplicateClientOrderId):
            world.bid(buyer, 2_000, 2 * YUAN, client_order_id="mine")


class TestProperties:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(st.sampled_from(["bid", "offer", "amend"]), st.integers(1, 20), st.integers(160, 240)),
            min_size=3, max_size=14,
        )
    )  # fmt: skip
    def test_whatever_is_amended_nothing_is_lost(self, world, steps):
        with transaction.atomic():
            self._run(replace(world), steps)
            assert selectors.verify() == []
            assert ledger.verify() == []
            transaction.set_rollback(True)

    def _run(self, world, steps):
        buyer, seller = world.organisation("buyer", yuan=10), world.organisation("provider")
        bids = []
        for number, (step, lots, ticks) in enumerate(steps):
            with suppress(errors.OutsideCollar, errors.OrderEnded, errors.BelowFilled):
                if step == "offer":
                    world.offer(seller, lots * 1_000, ticks * 10_000)
                elif step == "bid" or not bids:
                    bids.append(world.bid(buyer, lots * 1_000, ticks * 10_000))
                else:
                    amend(world, buyer, bids[ticks % len(bids)], quantity_st=lots * 1_000, limit_micros=ticks * 10_000)
            if number % 3 == 2:
                world.round()
        world.round()
        owed = sum(one.held_micros for one in selectors.orders(buyer))
        assert held(buyer) == owed + sum(one.cost_micros for one in selectors.allocations(buyer))


class TestGuards:
    """What the database refuses, whoever asks."""

    @pytest.fixture
    def bid(self, world, buyer, seller):
        bid = world.bid(buyer, 3_000, 2 * YUAN)
        world.offer(seller, 1_000, 2 * YUAN)
        world.round()
        return amend(world, buyer, bid, quantity_st=2_000)

    @pytest.mark.parametrize("statement", ["UPDATE {} SET quantity_st = 1", "DELETE FROM {}", "TRUNCATE {}"])
    def test_an_amendment_is_never_changed(self, bid, statement):
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            connection.check_constraints()
            connection.cursor().execute(statement.format("market_amendment"))

    @pytest.mark.parametrize(
        ("changes", "constraint"),
        [
            ({"order_id": uuid4()}, "market_amendment_open"), ({"round_number": 1}, "market_amendment_round"),
            ({"quantity_st": 1_000}, "market_amendment_above_filled"), ({"quantity_st": 3_000}, "market_amendment_cohort"),
            ({"limit_micros": 1_990_000}, "market_amendment_cohort"), ({"cohort": 0}, "market_amendment_cohort"),
            ({"limit_micros": 0, "cohort": 2}, "market_amendment_limit"),
        ],
    )  # fmt: skip
    def test_an_amendment_keeps_to_its_round_its_order_and_its_place(self, bid, changes, constraint):
        (row,) = Amendment.objects.values("order_id", "round_number", "quantity_st", "limit_micros", "expires_at",
                                          "cohort", "created_at")  # fmt: skip

        with pytest.raises(IntegrityError) as refusal, transaction.atomic():
            Amendment.objects.create(**{**row, **changes})
        assert refusal.value.__cause__.diag.constraint_name == constraint

    def test_verify_names_a_book_that_says_something_else(self, bid):
        with transaction.atomic():
            Book.objects.filter(order_id=bid.id).update(cohort=7)
            breaches = selectors.verify()
            transaction.set_rollback(True)

        assert [breach.rule for breach in breaches] == ["the book says what was asked last"]


class TestRequest:
    @pytest.fixture
    def api(self, live_world):
        return client_of(live_world.organisation("buyer", yuan=10))

    def send(self, api, order, changes, *, key=None):
        headers = {"idempotency-key": key or uuid4().hex}
        return api.patch(f"{ORDERS}/{order['id']}", changes, content_type="application/json", headers=headers)

    def test_answers_with_the_order_and_once_for_a_key(self, api, live_world):
        order = place(api, live_world).json()

        first, again = (self.send(api, order, {"price_per_million": "1.90"}, key="k") for _ in range(2))

        assert first.status_code == 200
        changed = {"price_per_million": "1.90", "held": "3.80", "amended_at": first.json()["amended_at"]}
        assert first.json() == again.json() == order | changed
        assert api.get(f"{ORDERS}/{order['id']}").json() == first.json()
        assert again["Idempotency-Replayed"] == "true"
        assert Amendment.objects.count() == 1

    @pytest.mark.parametrize(
        ("changes", "status", "code"),
        [
            ({}, 400, "invalid"), ({"side": "sell"}, 400, "unknown_field"), ({"quantity_st": 1000}, 400, "invalid"),
            ({"quantity_st": None}, 400, "invalid"), ({"price_per_million": "-1"}, 400, "invalid"),
            ({"max_latency": 1}, 400, "not_supported"), ({"quantity_st": "1500"}, 422, "off_lot"),
            ({"quantity_st": "9000000"}, 402, "insufficient_funds"),
            ({"expires_at": "2099-01-01T00:00:00Z"}, 422, "bad_expiry"),
        ],
    )  # fmt: skip
    def test_refuses_with_a_problem_and_writes_nothing(self, api, live_world, changes, status, code):
        order = place(api, live_world).json()

        answer = self.send(api, order, changes)

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert api.get(f"{ORDERS}/{order['id']}").json() == order

    def test_of_an_offers_order_or_one_that_is_over_is_a_conflict(self, api, live_world):
        seller = live_world.organisation("provider")
        offer = live_world.offer(seller, 1_000, 2 * YUAN)
        order = place(api, live_world).json()
        api.post(f"{ORDERS}/{order['id']}/cancel")
        selling = client_of(seller)
        (mine,) = selling.get(ORDERS).json()["data"]

        sold = self.send(selling, mine, {"price_per_million": "1.90"})
        ended = self.send(api, order, {"price_per_million": "1.90"})

        assert (sold.status_code, sold.json()["code"]) == (409, "not_amendable")
        assert (ended.status_code, ended.json()["code"], ended.json()["status"]) == (409, "order_ended", 409)
        assert live_world.order(offer).is_open

    def test_needs_a_key_the_right_to_write_and_the_own_order(self, api, live_world):
        order = place(api, live_world).json()
        change = {"price_per_million": "1.90"}
        without = api.patch(f"{ORDERS}/{order['id']}", change, content_type="application/json")
        stranger = live_world.organisation("buyer", yuan=10)

        assert (without.status_code, without.json()["code"]) == (400, "idempotency_key_missing")
        assert self.send(client_of(stranger), order, change).status_code == 404
        assert self.send(client_of(stranger, "orders:read"), order, change).status_code == 403
        assert self.send(api, {"id": "ord_x"}, change).status_code == 404
        assert clock.now() and not Amendment.objects.exists()
