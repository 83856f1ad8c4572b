"""Deployments on the same chips: the better one sells, and never two in one window."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client

from market import selectors
from market.matching_engine.certificate import check_round
from market.matching_engine.certificate_reading import read
from market.models import Supply
from market.services import clearing, exclusive, sealing
from market.services.clearing import Outcome, Plain

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]
LINES = ("llama-3-8b", "llama-2-7b")


@pytest.fixture
def chips() -> UUID:
    return uuid4()


def offers(world: Any, seller: Any, chips: UUID, quantity: int = 2_000, **limits: int) -> None:
    """An offer of a deployment of each line, all on the same chips."""
    for line, limit in zip(LINES, limits.values(), strict=False):
        supply_id = world.supply(seller, quantity, group=chips, line=line)
        world.offer(seller, quantity, limit, supply_id=supply_id, line=line)


def cleared(world: Any, seed: bytes, now: datetime | None = None) -> Outcome:
    """What a round with this seed would come to, without writing it."""
    now = now or selectors.the_market().next_close_at
    book = selectors.frozen_book(world.market_id, now=now)
    quotes = selectors.quotes(book.products, now=now)
    standing, pinned = selectors.standing(book), selectors.pinned(now=now)
    frozen = clearing.freeze_book(
        book, quotes, seed=seed, standing=standing, pinned=pinned, name=sealing.Name("main", 1, bytes(32))
    )
    return clearing.clear_book(frozen)


def sold(outcome: Outcome) -> dict[str, int]:
    """ST sold by line."""
    book = outcome.book
    found: dict[str, int] = {}
    for row in (outcome.fill * book.side).nonzero()[0].tolist():
        line = book.products[book.product[row]].line
        found[line] = found.get(line, 0) + int(outcome.fill[row])
    return found


def certificate(number: int) -> dict[str, Any]:
    document: dict[str, Any] = Client().get(f"/rounds/{number}/certificate.json").json()
    return document


def test_the_deployment_worth_more_sells_and_the_certificate_names_the_choice(
    world: Any, buyer: Any, seller: Any, chips: UUID
) -> None:
    offers(world, seller, chips, a=1_800_000, b=1_800_000)
    dear = world.bid(buyer, 1_000, 2_000_000, line=LINES[0])
    many = world.bid(buyer, 2_000, 1_990_000, line=LINES[1])

    number = world.round().number

    assert (world.order(dear).filled_st, world.order(many).filled_st) == (0, 2_000)
    assert Supply.objects.filter(sold_st__gt=0).count() == 1
    document = certificate(number)
    (component,) = document["components"]
    grouped = [one for one in component["orders"] if one["group"] is not None]
    # Numbered as the rows come, in an order that says nothing: which of the two numbers sells is not fixed.
    assert sorted((one["group"], one["deployment"]) for one in grouped) == [(0, 0), (0, 1)]
    assert [sum(map(int, one["fills"].values())) for one in grouped if one["fills"]] == [2]
    assert check_round(read(document)) == []


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_seed_the_better_one_sells(world: Any, buyer: Any, seller: Any, chips: UUID, seed: int) -> None:
    offers(world, seller, chips, a=1_800_000, b=1_790_000)
    for line in LINES:
        world.bid(buyer, 2_000, 2_000_000, line=line)

    assert sold(cleared(world, bytes([seed] * 32))) == {LINES[1]: 2_000}


def test_of_two_worth_the_same_the_seed_decides(world: Any, buyer: Any, seller: Any, chips: UUID) -> None:
    offers(world, seller, chips, a=1_800_000, b=1_800_000)
    for line in LINES:
        world.bid(buyer, 2_000, 2_000_000, line=line)

    found = [sold(cleared(world, bytes([seed] * 32))) for seed in range(12)]

    assert {tuple(one) for one in found} == {(line,) for line in LINES}
    assert found == [sold(cleared(world, bytes([seed] * 32))) for seed in range(12)]


def test_once_one_has_sold_it_keeps_the_chips(world: Any, buyer: Any, seller: Any, chips: UUID) -> None:
    offers(world, seller, chips, a=1_800_000, b=1_800_000)
    world.bid(buyer, 1_000, 2_000_000, line=LINES[0])
    world.round()
    dear = world.bid(buyer, 2_000, 2_000_000, line=LINES[1])
    same = world.bid(buyer, 1_000, 1_800_000, line=LINES[0])

    world.round()

    assert (world.order(dear).filled_st, world.order(same).filled_st) == (0, 1_000)


def test_a_flexible_bid_over_both_lines_gets_one_deployment_only(
    world: Any, buyer: Any, seller: Any, chips: UUID
) -> None:
    from market.kernel.orders import Choice

    offers(world, seller, chips, a=1_800_000, b=1_810_000)
    choices = tuple(Choice(line, world.window, 2_000_000) for line in LINES)
    bid = world.bid(buyer, 4_000, 2_000_000, choices=choices)

    number = world.round().number

    assert world.order(bid).filled_st == 2_000
    assert {one.line for one in selectors.allocations(buyer)} == {LINES[0]}
    assert check_round(read(certificate(number))) == []


def test_an_offer_that_no_bid_reaches_leaves_the_other_line_a_plain_book(
    world: Any, buyer: Any, seller: Any, chips: UUID
) -> None:
    offers(world, seller, chips, a=1_800_000, b=1_800_000)
    world.bid(buyer, 1_000, 1_800_000, line=LINES[0])
    world.bid(buyer, 1_000, 1_790_000, line=LINES[1])

    outcome = cleared(world, bytes(32))

    assert [type(one) for one in outcome.printed] == [Plain]
    assert sold(outcome) == {LINES[0]: 1_000}


def test_a_deployment_that_can_deliver_nothing_does_not_count(world: Any, buyer: Any, seller: Any, chips: UUID) -> None:
    world.window -= timedelta(hours=1)  # the current hour: what a rate still gives shrinks with the clock
    for line, rate in zip(LINES, (10**6, 1), strict=True):
        supply_id = world.supply(seller, 2_000, group=chips, line=line, rate=rate)
        world.offer(seller, 2_000, 1_800_000, supply_id=supply_id, line=line)
        world.bid(buyer, 1_000, 2_000_000, line=line)
    world.now = world.window + timedelta(minutes=50)
    book = selectors.frozen_book(world.market_id, now=world.now)

    assert len(selectors.standing(book)) == 1
    outcome = cleared(world, bytes(32), now=world.now)
    assert [type(one) for one in outcome.printed] == [Plain]
    assert sold(outcome) == {LINES[0]: 1_000}


@pytest.mark.parametrize(("bound", "value"), [("MOST_ROWS", 3), ("MOST_RIVALS", 1)])
def test_a_group_too_large_to_search_is_drawn(
    world: Any, buyer: Any, seller: Any, chips: UUID, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    offers(world, seller, chips, a=1_800_000, b=1_700_000)
    for line in LINES:
        world.bid(buyer, 2_000, 2_000_000, line=line)
    monkeypatch.setattr(exclusive, bound, value)

    found = [cleared(world, bytes([seed] * 32)) for seed in range(12)]

    assert {tuple(sold(one)) for one in found} == {(line,) for line in LINES}
    assert all(isinstance(part, Plain) for one in found for part in one.printed)


def test_where_the_program_fails_one_deployment_is_drawn_and_the_products_clear_alone(
    world: Any, buyer: Any, seller: Any, chips: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers(world, seller, chips, a=1_800_000, b=1_800_000)
    bids = [world.bid(buyer, 2_000, 2_000_000, line=line) for line in LINES]
    monkeypatch.setattr(clearing, "part_of", lambda *_, **__: 1 / 0)

    world.round()

    assert sorted(world.order(bid).filled_st for bid in bids) == [0, 2_000]
    assert selectors.verify() == []


@pytest.mark.parametrize("seed", range(4))
def test_two_pools_are_shared_out_between_two_lines(world: Any, buyer: Any, seller: Any, seed: int) -> None:
    for group in (uuid4(), uuid4()):
        offers(world, seller, group, a=1_800_000, b=1_800_000)
    for line in LINES:
        world.bid(buyer, 2_000, 2_000_000, line=line)

    assert sold(cleared(world, bytes([seed] * 32))) == dict.fromkeys(LINES, 2_000)
