"""Bids that accept several hours, lines or only some cells, from the order to the allocation."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import selectors as ledger
from market import selectors, services
from market.kernel.errors import (
    BadMinimum,
    BadScope,
    DuplicateClientOrderId,
    MarketError,
    NotAmendable,
    NotSupported,
    OffTick,
    OutsideCollar,
    SelfTrade,
    UnknownLine,
    WindowClosed,
)
from market.kernel.orders import Choice, Scope
from market.matching_engine.certificate import check_round
from market.matching_engine.certificate_reading import read
from market.models import Cell, CellPrice, Fill, OrderChoice, RoundPrice
from tests.market.conftest import TERMS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]
HOUR = timedelta(hours=1)


@pytest.fixture
def other_buyer(world: Any) -> Any:
    return world.organisation("buyer", yuan=100)


def flexible(world: Any, buyer: Any, quantity: int, limits: dict[int, int], **more: Any) -> selectors.OrderView:
    """A bid for any of these hours (after the next one) at these limits; its own product is that of the highest."""
    own = max(limits, key=lambda hour: limits[hour])
    choices = tuple(Choice(world.line, world.window + hour * HOUR, limit) for hour, limit in limits.items())
    return world.bid(buyer, quantity, limits[own], window_start=world.window + own * HOUR, choices=choices, **more)


def offer_in(world: Any, seller: Any, hour: int, quantity: int, limit: int, **terms: str) -> selectors.OrderView:
    """An offer in an hour, and in a cell of its own where terms are named."""
    keep = world.window
    world.window = keep + hour * HOUR
    try:
        supply = services.supply.declare(
            replace(_draft(world, seller, quantity), terms=replace(TERMS, **terms)), now=world.now
        )
        return world.offer(seller, quantity, limit, supply_id=supply)
    finally:
        world.window = keep


def _draft(world: Any, seller: Any, quantity: int) -> Any:
    from uuid import uuid4

    return services.SupplyDraft(
        organisation_id=seller.organisation_id, pool_id=uuid4(), exclusive_group=uuid4(), deployment_id=uuid4(),
        line=world.line, grade=world.grade, window_start=world.window, terms=TERMS, offered_st=quantity,
        rate_st_per_second=10**6,
    )  # fmt: skip


def certificate(number: int) -> list[str]:
    return check_round(read(Client().get(f"/rounds/{number}/certificate.json").json()))


class TestSeveralHours:
    def test_the_cheapest_hour_is_bought(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_900_000)
        offer_in(world, seller, 1, 5_000, 1_700_000)
        bid = flexible(world, buyer, 4_000, {0: 2_000_000, 1: 2_000_000})

        number = world.round().number

        (allocation,) = selectors.allocations(buyer)
        assert (allocation.window_start, allocation.price_micros) == (world.window + HOUR, 1_700_000)
        assert world.order(bid).status == "filled"
        assert certificate(number) == []

    def test_a_large_bid_takes_both_and_no_one_loses(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_900_000)
        offer_in(world, seller, 1, 5_000, 1_700_000)
        bid = flexible(world, buyer, 8_000, {0: 2_000_000, 1: 2_000_000})

        number = world.round().number

        bought = {one.window_start: (one.quantity_st, one.price_micros) for one in selectors.allocations(buyer)}
        # The dearer hour has lots left, so it costs what it asks; nobody takes that where the other hour is cheaper.
        assert bought == {world.window: (3_000, 1_900_000), world.window + HOUR: (5_000, 1_900_000)}
        assert world.order(bid).left_st == 0
        assert certificate(number) == []

    def test_each_hour_has_its_own_limit(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_900_000)
        offer_in(world, seller, 1, 5_000, 1_700_000)
        bid = flexible(world, buyer, 4_000, {0: 2_000_000, 1: 1_690_000})

        world.round()

        (allocation,) = selectors.allocations(buyer)
        assert allocation.window_start == world.window
        assert world.order(bid).saved_micros == (2_000_000 - allocation.price_micros) * 4_000 // 10**6

    def test_the_hold_is_the_highest_limit_and_comes_back(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 1, 3_000, 1_700_000)
        bid = flexible(world, buyer, 4_000, {0: 2_000_000, 1: 1_800_000})
        assert ledger.hold_rests([bid.hold_id])[bid.hold_id] == 8_000

        world.round()
        assert ledger.hold_rests([bid.hold_id])[bid.hold_id] == 2_000  # 1,000 ST are open, at 2 yuan a million
        services.orders.cancel(bid.id, actor=buyer, now=world.now)
        assert ledger.hold_rests([bid.hold_id])[bid.hold_id] == 0

    def test_it_meets_plain_bids_of_each_hour(self, world: Any, buyer: Any, other_buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000)
        offer_in(world, seller, 1, 4_000, 1_700_000)
        plain = world.bid(other_buyer, 4_000, 2_000_000)
        bid = flexible(world, buyer, 4_000, {0: 1_900_000, 1: 1_900_000})

        number = world.round().number

        assert (world.order(plain).status, world.order(bid).status) == ("filled", "filled")
        assert {one.window_start for one in selectors.allocations(buyer)} == {world.window + HOUR}
        assert certificate(number) == []

    def test_it_waits_where_no_hour_has_an_offer(self, world: Any, buyer: Any) -> None:
        bid = flexible(world, buyer, 1_000, {0: 2_000_000, 3: 2_000_000})
        world.round()
        assert world.order(bid).status == "open"
        assert world.order(bid).expires_at == world.window + 4 * HOUR

    def test_next_round_only_ends_and_gives_all_back(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 1, 1_000, 1_700_000)
        bid = flexible(world, buyer, 3_000, {0: 2_000_000, 1: 2_000_000}, time_in_force="ioc")
        world.round()
        after = world.order(bid)
        assert (after.filled_st, after.status) == (1_000, "expired")
        assert ledger.hold_rests([bid.hold_id])[bid.hold_id] == 0


class TestSeveralLines:
    def test_the_cheaper_line_is_bought(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 4_000, 1_900_000)
        world.line = "llama-2-7b"
        offer_in(world, seller, 0, 4_000, 1_650_000)
        world.line = "llama-3-8b"
        choices = (Choice("llama-3-8b", world.window, 2_000_000), Choice("llama-2-7b", world.window, 1_800_000))
        world.bid(buyer, 4_000, 2_000_000, choices=choices)

        number = world.round().number

        (allocation,) = selectors.allocations(buyer)
        assert allocation.line == "llama-2-7b"  # it gains 0.15 there, 0.10 here
        assert certificate(number) == []

    def test_a_halt_of_its_own_line_leaves_it_the_other(self, world: Any, buyer: Any, seller: Any) -> None:
        from market.models import ModelLine

        offer_in(world, seller, 0, 4_000, 1_650_000)
        world.line = "llama-2-7b"
        offer_in(world, seller, 0, 4_000, 1_750_000)
        world.line = "llama-3-8b"
        choices = (Choice("llama-3-8b", world.window, 2_000_000), Choice("llama-2-7b", world.window, 1_900_000))
        world.bid(buyer, 4_000, 2_000_000, choices=choices)
        line = ModelLine.objects.get(slug="llama-3-8b")
        services.halts.impose(reason="drill", actor=buyer, now=world.now, line_id=line.id)

        number = world.round().number

        (allocation,) = selectors.allocations(buyer)
        assert (allocation.line, allocation.price_micros) == ("llama-2-7b", 1_820_000)  # 1.825, down to the tick
        assert certificate(number) == []

    def test_no_line_that_was_not_named(self, world: Any, buyer: Any, seller: Any) -> None:
        world.line = "llama-2-7b"
        offer_in(world, seller, 0, 4_000, 1_650_000)
        world.line = "llama-3-8b"
        flexible(world, buyer, 4_000, {0: 2_000_000, 1: 2_000_000})
        assert world.round().volume_st == 0


class TestSeveralGrades:
    def test_the_cheaper_grade_is_bought(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 4_000, 1_900_000)
        world.grade = "batch"
        services.catalogue.set_list_price(
            line=world.line, grade="batch", price_micros=2_000_000, valid_from=date(2020, 1, 1), source="price list"
        )
        offer_in(world, seller, 0, 4_000, 1_650_000)
        world.grade = "interactive"
        own = Choice(world.line, world.window, 2_000_000)
        bid = world.bid(buyer, 4_000, 2_000_000, choices=(own, replace(own, limit_micros=1_900_000, grade="batch")))

        number = world.round().number

        (allocation,) = selectors.allocations(buyer)
        assert (allocation.grade, world.order(bid).status) == ("batch", "filled")
        assert certificate(number) == []
        assert [one.grade for one in world.order(bid).choices] == ["batch", ""]

    @pytest.mark.parametrize("grade", ["golden", "interactive"])
    def test_an_unknown_grade_and_the_same_product_twice_are_refused(self, world: Any, buyer: Any, grade: str) -> None:
        own = Choice(world.line, world.window, 2_000_000)
        with pytest.raises(MarketError):
            world.bid(buyer, 4_000, 2_000_000, choices=(own, replace(own, limit_micros=1_900_000, grade=grade)))
        assert selectors.open_count(buyer) == 0


class TestCells:
    def test_a_vendor_is_asked_for_and_its_price_is_its_own(
        self, world: Any, buyer: Any, other_buyer: Any, seller: Any
    ) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000, vendor="nvidia")
        offer_in(world, seller, 0, 4_000, 1_900_000, vendor="huawei")
        picky = world.bid(buyer, 3_000, 2_000_000, scope=Scope(vendors=frozenset({"huawei"})))
        easy = world.bid(other_buyer, 3_000, 2_000_000)

        number = world.round().number

        assert (world.order(picky).average_micros, world.order(easy).average_micros) == (1_900_000, 1_700_000)
        prices = {one.cell.vendor: one.price_micros for one in CellPrice.objects.select_related("cell")}
        assert prices == {"nvidia": 1_700_000, "huawei": 1_900_000}
        (printed,) = RoundPrice.objects.filter(number=number, volume_st__gt=0)
        assert (printed.price_micros, printed.volume_st) == (1_800_000, 6_000)
        assert certificate(number) == []

    @pytest.mark.parametrize(("scope", "fills"), [
        (Scope(regions=frozenset({"cn-east"})), True),
        (Scope(regions=frozenset({"cn-north"})), False),
        (Scope(tiers=frozenset({"listed", "verified"})), True),
        (Scope(tiers=frozenset({"verified"})), False),
    ])  # fmt: skip
    def test_a_filter_lets_in_what_it_names(
        self, world: Any, buyer: Any, seller: Any, scope: Scope, fills: bool
    ) -> None:
        offer_in(world, seller, 1, 1_000, 1_900_000, region="cn-north")
        offer_in(world, seller, 0, 4_000, 1_700_000)
        bid = world.bid(buyer, 3_000, 2_000_000, scope=scope)
        world.round()
        assert (world.order(bid).filled_st > 0) == fills

    def test_the_database_refuses_a_fill_outside_of_the_filter(self, world: Any, buyer: Any, seller: Any) -> None:
        offer = offer_in(world, seller, 0, 4_000, 1_700_000)
        offer_in(world, seller, 1, 4_000, 1_700_000, vendor="huawei")
        bid = world.bid(buyer, 3_000, 2_000_000, scope=Scope(vendors=frozenset({"huawei"})))
        from market.models import Order, Round

        round_ = Round.objects.get(state="open")
        cell = Order.objects.get(id=offer.id).cell_id
        rows = [Fill(round=round_, order_id=o, cell_id=cell, side=s, quantity_st=1_000, price_micros=1_700_000)
                for o, s in ((bid.id, 0), (offer.id, 1))]  # fmt: skip
        with pytest.raises(IntegrityError, match="breaks its terms"), transaction.atomic():
            Round.objects.filter(id=round_.id).update(state="frozen", root=b"1" * 32, closed_at=world.now)
            Fill.objects.bulk_create(rows)


KEPT = {"data_terms": "retention-30d"}


class TestDataTerms:
    def test_a_bid_without_a_word_gets_the_strictest_only(
        self, world: Any, buyer: Any, other_buyer: Any, seller: Any
    ) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000, **KEPT)
        offer_in(world, seller, 0, 1_000, 1_900_000)
        plain = world.bid(buyer, 3_000, 2_000_000)
        easy = world.bid(
            other_buyer, 4_000, 2_000_000, scope=Scope(data_terms=frozenset({"no-retention", "retention-30d"}))
        )

        number = world.round().number

        assert (world.order(plain).filled_st, world.order(plain).average_micros) == (
            1_000,
            2_000_000,
        )  # it wants more: that bounds the price
        assert (world.order(easy).filled_st, world.order(easy).average_micros) == (4_000, 1_850_000)
        assert certificate(number) == []

    @pytest.mark.parametrize("terms", ["retention-30d", "unknown", "something else"])
    def test_it_waits_rather_than_fall_back(self, world: Any, buyer: Any, seller: Any, terms: str) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000, data_terms=terms)
        bid = world.bid(buyer, 3_000, 2_000_000)
        choosy = flexible(world, buyer, 3_000, {0: 2_000_000, 1: 2_000_000})
        assert world.round().volume_st == 0
        assert world.order(bid).status == world.order(choosy).status == "open"

    def test_depth_and_preview_show_what_such_a_bid_reaches(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000, **KEPT)
        offer_in(world, seller, 0, 1_000, 1_900_000)
        product = selectors.product_at(world.line, world.grade, world.window)
        depth = selectors.depth(product, now=world.now)
        assert (depth.best_offer_micros, depth.offer_st) == (1_900_000, 1_000)
        assert selectors.tops([product], now=world.now)[product.id].offer_micros == 1_900_000
        draft = services.OrderDraft(
            buyer.organisation_id, "buy", world.line, world.grade, world.window, 3_000, 2_000_000
        )  # fmt: skip
        assert services.orders.preview(draft, now=world.now).expected_fill_st == 1_000

    def test_the_database_refuses_it_too(self, world: Any, buyer: Any, seller: Any) -> None:
        from market.models import Order, Round

        offer = offer_in(world, seller, 0, 4_000, 1_700_000, **KEPT)
        bid = world.bid(buyer, 3_000, 2_000_000)
        round_, cell = Round.objects.get(state="open"), Order.objects.get(id=offer.id).cell_id
        rows = [Fill(round=round_, order_id=o, cell_id=cell, side=s, quantity_st=1_000, price_micros=1_700_000)
                for o, s in ((bid.id, 0), (offer.id, 1))]  # fmt: skip
        with pytest.raises(IntegrityError, match="breaks its terms"), transaction.atomic():
            Round.objects.filter(id=round_.id).update(state="frozen", root=b"1" * 32, closed_at=world.now)
            Fill.objects.bulk_create(rows)


class TestMinimum:
    def test_less_than_the_minimum_is_not_bought(self, world: Any, buyer: Any, other_buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000)
        block = world.bid(buyer, 6_000, 2_000_000, scope=Scope(minimum_st=5_000))
        rest = world.bid(other_buyer, 1_000, 1_800_000)

        number = world.round().number

        assert (world.order(block).filled_st, world.order(rest).filled_st) == (0, 1_000)
        assert certificate(number) == []

    def test_the_minimum_or_more_is(self, world: Any, buyer: Any, seller: Any) -> None:
        offer_in(world, seller, 0, 5_000, 1_700_000)
        block = world.bid(buyer, 6_000, 2_000_000, scope=Scope(minimum_st=5_000))
        world.round()
        assert world.order(block).filled_st == 5_000
        offer_in(world, seller, 0, 5_000, 1_700_000)
        world.round()  # what is left is less than the minimum, and is its minimum now
        assert world.order(block).status == "filled"


class TestIntake:
    @pytest.mark.parametrize(("change", "error"), [
        ({"scope": Scope(minimum_st=3_500)}, BadMinimum),
        ({"scope": Scope(minimum_st=9_000)}, BadMinimum),
        ({"scope": Scope(vendors=frozenset({"nvidja"}))}, BadScope),
        ({"scope": Scope(tiers=frozenset({"golden"}))}, BadScope),
    ])  # fmt: skip
    def test_refuses_a_scope_that_cannot_be_meant(
        self, world: Any, buyer: Any, seller: Any, change: dict[str, Any], error: type[Exception]
    ) -> None:
        offer_in(world, seller, 0, 4_000, 1_700_000)
        with pytest.raises(error):
            world.bid(buyer, 3_000, 2_000_000, **change)
        assert selectors.open_count(buyer) == 0

    @pytest.mark.parametrize(("choice", "error"), [
        (("llama-9", 1, 1_900_000), UnknownLine),
        (("llama-2-7b", -3, 1_900_000), WindowClosed),
        (("llama-2-7b", 1, 1_900_001), OffTick),
        (("llama-2-7b", 1, 1_950_000), None),
        (("llama-2-7b", 1, 2_050_000), BadScope),
        (("llama-3-8b", 0, 1_900_000), BadScope),
    ])  # fmt: skip
    def test_looks_at_each_choice(self, world: Any, buyer: Any, choice: tuple, error: type[Exception] | None) -> None:
        line, hour, limit = choice
        choices = (Choice(world.line, world.window, 2_000_000), Choice(line, world.window + hour * HOUR, limit))
        if error is None:
            world.bid(buyer, 1_000, 2_000_000, choices=choices)
            assert OrderChoice.objects.count() == 2
            return
        with pytest.raises(error):
            world.bid(buyer, 1_000, 2_000_000, choices=choices)
        assert OrderChoice.objects.count() == 0

    def test_holds_each_limit_against_its_own_collar(self, world: Any, buyer: Any) -> None:
        with pytest.raises(OutsideCollar):
            flexible(world, buyer, 1_000, {0: 2_000_000, 1: 9_000_000})

    def test_an_offer_is_not_flexible(self, world: Any, seller: Any) -> None:
        with pytest.raises(NotSupported):
            world.offer(seller, 1_000, 1_700_000, scope=Scope(minimum_st=1_000))

    def test_self_trade_is_seen_in_every_product_and_both_ways(self, world: Any) -> None:
        both = world.organisation("both", yuan=100)
        offer_in(world, both, 1, 1_000, 1_700_000)
        with pytest.raises(SelfTrade):
            flexible(world, both, 1_000, {0: 2_000_000, 1: 1_900_000})
        flexible(world, both, 1_000, {0: 2_000_000, 2: 1_900_000})
        with pytest.raises(SelfTrade):
            offer_in(world, both, 2, 1_000, 1_800_000)

    def test_a_repeated_client_order_id_compares_all_of_it(self, world: Any, buyer: Any) -> None:
        first = flexible(world, buyer, 1_000, {0: 2_000_000, 1: 1_900_000}, client_order_id="a")
        again = flexible(world, buyer, 1_000, {0: 2_000_000, 1: 1_900_000}, client_order_id="a")
        assert first.id == again.id
        with pytest.raises(DuplicateClientOrderId):
            flexible(world, buyer, 1_000, {0: 2_000_000, 1: 1_800_000}, client_order_id="a")

    def test_it_is_cancelled_and_not_amended(self, world: Any, buyer: Any) -> None:
        from market.kernel.amending import Change

        bid = flexible(world, buyer, 1_000, {0: 2_000_000, 1: 1_900_000})
        with pytest.raises(NotAmendable):
            services.amending.amend(bid.id, Change(quantity_st=2_000), actor=buyer, now=world.now)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_mixture_clears_whole_and_certified(world: Any, data: st.DataObject) -> None:
    with transaction.atomic():
        point = transaction.savepoint()
        seller = world.organisation("provider")
        for _ in range(data.draw(st.integers(1, 5))):
            hour, vendor = data.draw(st.integers(0, 2)), data.draw(st.sampled_from(["nvidia", "huawei"]))
            quantity, price = data.draw(st.integers(1, 6)) * 1_000, data.draw(st.integers(160, 210)) * 10_000
            terms = data.draw(st.sampled_from(["no-retention", "no-retention", "retention-30d"]))
            offer_in(world, seller, hour, quantity, price, vendor=vendor, data_terms=terms)
        known = set(Cell.objects.values_list("vendor", flat=True))
        for _ in range(data.draw(st.integers(1, 6))):
            buyer = world.organisation("buyer", yuan=1)
            hours = data.draw(st.dictionaries(st.integers(0, 2), st.integers(160, 210), min_size=1, max_size=3))
            names = data.draw(st.sets(st.sampled_from(sorted(known)), max_size=1))
            quantity = data.draw(st.integers(1, 6)) * 1_000
            minimum = data.draw(st.sampled_from([0, 0, quantity]))
            limits = {hour: price * 10_000 for hour, price in hours.items()}
            terms = data.draw(st.sampled_from([{"no-retention"}, {"no-retention", "retention-30d"}]))
            scope = Scope(vendors=frozenset(names), minimum_st=minimum, data_terms=frozenset(terms))
            if scope == Scope() and len(limits) == 1:
                world.bid(buyer, quantity, *limits.values(), window_start=world.window + next(iter(limits)) * HOUR)
            else:
                flexible(world, buyer, quantity, limits, scope=scope)
        summary = world.round()
        assert market_and_ledger() == []
        if summary.volume_st:
            assert certificate(summary.number) == []
        transaction.savepoint_rollback(point)
        world.now = world.window - timedelta(minutes=59, seconds=58)


def market_and_ledger() -> list[Any]:
    return [*selectors.verify(), *ledger.verify()]


class TestApi:
    def body(self, **more: Any) -> dict[str, Any]:
        return {"side": "buy", "line": "llama-3-8b", "grade": "interactive", "quantity_st": "4000",
                "price_per_million": "1.90", "window_start": "2026-11-24T16:00:00Z", **more}  # fmt: skip

    def place(self, client: Any, **more: Any) -> Any:
        from uuid import uuid4

        return client.post(
            "/api/v1/orders",
            self.body(**more),
            content_type="application/json",
            headers={"idempotency-key": uuid4().hex},
        )

    @pytest.fixture
    def api(self, live_world: Any) -> Any:
        from accounts import services as accounts

        world = live_world
        self.world, self.buyer, self.seller = (
            world,
            world.organisation("buyer", yuan=100),
            world.organisation("provider"),
        )
        offer_in(world, self.seller, 0, 5_000, 1_800_000)
        secret = accounts.keys.create(
            actor=self.buyer, name="t", scopes=["orders:write", "orders:read", "market:read"], now=world.now
        ).secret
        return Client(headers={"authorization": f"Bearer {secret}"})

    def hour(self, number: int) -> str:
        return (self.world.window + number * HOUR).isoformat()

    def test_places_shows_and_lists_all_of_it(self, api: Any) -> None:
        answer = self.place(
            api, window_start=self.hour(0), vendors=["nvidia"], tier="listed", min_quantity_st="2000",
            choices=[{"window_start": self.hour(1)}, {"line": "llama-2-7b", "price_per_million": "1.95"}],
        )  # fmt: skip
        assert answer.status_code == 201, answer.content
        body = answer.json()
        assert (body["line"], body["price_per_million"]) == ("llama-2-7b", "1.95")
        assert len(body["choices"]) == 3
        assert (body["vendors"], body["tiers"], body["min_quantity_st"]) == (["nvidia"], ["listed", "verified"], "2000")
        assert api.get(f"/api/v1/orders/{body['id']}").json() == body
        assert api.get("/api/v1/orders").json()["data"] == [body]

    def test_all_or_none_is_the_whole_quantity(self, api: Any) -> None:
        assert self.place(api, window_start=self.hour(0), all_or_none=True).json()["min_quantity_st"] == "4000"

    @pytest.mark.parametrize(("more", "status", "code"), [
        ({"all_or_none": True, "min_quantity_st": "1000"}, 400, "invalid"),
        ({"min_quantity_st": "5000"}, 422, "bad_minimum"),
        ({"vendors": ["nvidja"]}, 422, "bad_scope"),
        ({"tier": "golden"}, 400, "invalid"),
        ({"choices": [{}]}, 422, "bad_scope"),
        ({"choices": [{"line": "x"}]}, 422, "unknown_line"),
        ({"choices": [{"hour": 1}]}, 400, "unknown_field"),
        ({"choices": [{"price_per_million": "NaN"}]}, 400, "invalid"),
        ({"max_latency": 5}, 400, "not_supported"),
        ({"data_terms": "any"}, 400, "invalid"),
    ])  # fmt: skip
    def test_says_what_is_wrong(self, api: Any, more: dict[str, Any], status: int, code: str) -> None:
        answer = self.place(api, window_start=self.hour(0), **more)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
        assert selectors.open_count(self.buyer) == 0

    def test_a_preview_tells_the_fill_of_each_product(self, api: Any, live_world: Any) -> None:
        offer_in(live_world, live_world.organisation("provider"), 1, 3_000, 1_700_000)
        body = self.body(window_start=self.hour(0), choices=[{"window_start": self.hour(1)}])

        answer = api.post("/api/v1/orders/preview", body, content_type="application/json").json()

        assert (answer["expected_fill_st"], answer["held"], answer["expected_unknown"]) == ("4000", "0.0076", None)
        assert {one["fill_st"]: one["price_per_million"] for one in answer["expected"]} == {
            "3000": "1.80",
            "1000": "1.80",
        }
        assert (answer["list_price_per_million"], answer["list_cost"]) == ("2.00", "0.008")
        assert answer["list_price_source"] == "price list"

    def test_better_grades_count_too(self, api: Any) -> None:
        asked = {"window_start": self.hour(0), "grade": "batch", "or_better": True, "choices": [
            {"window_start": self.hour(1), "grade": "realtime"}]}  # fmt: skip
        placed = self.place(api, **asked)
        body = placed.json()

        assert placed.status_code == 201, body
        assert (body["or_better"], body["grade"]) == (True, "batch")
        named = sorted((one["window_start"] == self.hour(0), one["grade"]) for one in body["choices"])
        assert len(named) == 4
        assert {grade for _, grade in named} == {"batch", "interactive", "realtime"}
        assert not self.place(api, window_start=self.hour(0), choices=[{"window_start": self.hour(1)}]).json()[
            "or_better"
        ]
        assert not self.place(api, window_start=self.hour(0), grade="realtime", or_better=True).json()["choices"]

    def test_better_grades_count_as_choices(self, api: Any) -> None:
        hours = [{"window_start": self.hour(hour)} for hour in range(1, 40)]
        answer = self.place(api, window_start=self.hour(0), grade="batch", or_better=True, choices=hours)
        assert (answer.status_code, answer.json()["code"]) == (400, "not_supported")
        orders = [self.body(window_start=self.hour(0), grade="batch", or_better=True)] * 251
        batch = api.post("/api/v1/orders/batch", {"orders": orders}, content_type="application/json",
                         headers={"Idempotency-Key": "many"})  # fmt: skip
        assert (batch.status_code, batch.json()["code"]) == (400, "invalid")
