"""A bid that accepts several products is seen in each of them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from market import selectors, services
from market.models import FeedFrame
from tests.market.test_api import client_of
from tests.market.test_flexible import flexible, offer_in
from tests.market.test_pages import at, signed_in

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def products(world: Any) -> list[Any]:
    found = [selectors.product_at(world.line, world.grade, world.window + n * HOUR) for n in (0, 1)]
    assert all(found)
    return found


def test_depth_has_it_at_its_limit_in_each_product(world: Any, buyer: Any) -> None:
    flexible(world, buyer, 4_000, {0: 1_900_000, 1: 1_700_000})
    world.bid(buyer, 1_000, 1_900_000)
    here, there = (
        selectors.depth(one, now=world.now, organisation_id=buyer.organisation_id) for one in products(world)
    )

    assert [(one.price_micros, one.quantity_st, one.flexible_st, one.own) for one in here.bids] == [
        (1_900_000, 5_000, 4_000, True)
    ]
    assert [(one.price_micros, one.quantity_st, one.flexible_st) for one in there.bids] == [(1_700_000, 4_000, 4_000)]
    assert (here.bid_st, here.flexible_st, there.bid_st, there.flexible_st) == (5_000, 4_000, 4_000, 4_000)
    tops = selectors.tops(products(world), now=world.now)
    assert [(tops[one.id].bid_micros, tops[one.id].bid_st) for one in products(world)] == [
        (1_900_000, 5_000), (1_700_000, 4_000)
    ]  # fmt: skip
    assert selectors.book_curve(products(world)[1], now=world.now) == ([(1_700_000, 4_000)], [])


def test_a_bid_for_one_product_with_a_minimum_is_not_marked(world: Any, buyer: Any) -> None:
    world.bid(buyer, 2_000, 1_900_000, scope=services_scope())
    (level,) = selectors.depth(selectors.product_at(world.line, world.grade, world.window), now=world.now).bids
    assert (level.quantity_st, level.flexible_st, level.own) == (2_000, 0, False)


def services_scope() -> Any:
    from market.kernel.orders import Scope

    return Scope(minimum_st=1_000)


def test_what_is_halted_is_not_there(world: Any, buyer: Any) -> None:
    flexible(world, buyer, 4_000, {0: 1_900_000, 1: 1_700_000})
    services.halts.impose(reason="drill", actor=buyer, now=world.now, organisation_id=buyer.organisation_id)
    assert [selectors.depth(one, now=world.now).bids for one in products(world)] == [[], []]


def test_the_feed_has_it_too(world: Any, buyer: Any, seller: Any) -> None:
    offer_in(world, seller, 0, 1_000, 1_950_000)
    offer_in(world, seller, 1, 1_000, 1_950_000)
    flexible(world, buyer, 4_000, {0: 1_900_000, 1: 1_700_000})
    world.bid(buyer, 1_000, 1_800_000)

    world.round()

    frame = json.loads(FeedFrame.objects.order_by("-sequence").first().payload)
    told = {one["window_start"]: (one["bids"], one["flexible_bids"]) for one in frame["products"]}
    assert list(told.values()) == [
        ([["1.90", "4000"], ["1.80", "1000"]], [["1.90", "4000"]]),
        ([["1.70", "4000"]], [["1.70", "4000"]]),
    ]


def test_rest_and_the_ladder_mark_it(live_world: Any) -> None:
    buyer = live_world.organisation("buyer", yuan=100)
    flexible(live_world, buyer, 4_000, {0: 1_900_000, 1: 1_700_000})
    product = client_of(buyer).get("/api/v1/products", {"line": live_world.line, "grade": live_world.grade}).json()
    there = next(one for one in product["data"] if one["best_bid_per_million"] == "1.70")

    depth = client_of(buyer).get(f"/api/v1/products/{there['id']}/depth").json()

    assert depth["bids"] == [{"price_per_million": "1.70", "quantity_st": "4000", "flexible_st": "4000"}]
    page = signed_in(buyer).get(f"/market/{live_world.line}/", {**at(live_world)}).content.decode()
    assert "4,000 ST of it may trade in another hour" in page


def test_the_open_curve_bands_the_readers_own_level(live_world: Any) -> None:
    buyer, other = (live_world.organisation("buyer", yuan=100) for _ in range(2))
    live_world.bid(other, 1_000_000, 1_900_000)
    live_world.bid(buyer, 2_000_000, 1_800_000)
    band = '"own": [{"side": "demand", "from": "1.00", "to": "3.00", "price": "1.80"}]'

    pages = [
        signed_in(one).get(f"/market/{live_world.line}/", {**at(live_world)}).content.decode() for one in (buyer, other)
    ]

    assert band in pages[0]
    assert band not in pages[1]
