"""Coupled cells: most welfare, then most volume, prices that clear, against independent judges on small books."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.matching_engine import Book, clear
from market.matching_engine.book import BookInvalid, BookTooLarge
from market.matching_engine.certificate import check_component
from market.matching_engine.certificate_reading import Component as Printed
from market.matching_engine.certificate_reading import reject
from market.matching_engine.components import clear_component
from market.matching_engine.coupled import Component, Order, clipped
from tests.market.kernel.coupled_oracle import best, choices, supported, without
from tests.market.kernel.printed import printed

SEED = bytes(range(32))
LOW, HIGH = 5, 15


def tie(number: int) -> bytes:
    return hashlib.sha256(SEED + number.to_bytes(8)).digest()


@st.composite
def components(draw: Any, *, blocks: bool = False, cells: int = 4, most: int = 9) -> Component:
    count = draw(st.integers(1, cells))
    orders = []
    for number in range(draw(st.integers(0, most))):
        side = draw(st.integers(0, 1))
        accepted = draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=count if side == 0 else 1))
        base = draw(st.integers(4, 16))
        differs = side == 0 and draw(st.booleans())
        limits = tuple(base + (draw(st.integers(-2, 2)) if differs else 0) for _ in accepted)
        quantity = draw(st.integers(1, 5))
        minimum = draw(st.one_of(st.just(0), st.integers(0, quantity))) if blocks else 0
        group = draw(st.sampled_from([None, None, 1, 2])) if blocks and side == 1 and not minimum else None
        deployment = draw(st.integers(0, 2)) if group else None
        cohort, names = draw(st.integers(1, 2)), tuple(sorted(accepted))
        orders.append(Order(side, quantity, cohort, tie(number), names, limits, minimum, group, deployment))
    return Component(orders, (LOW,) * count, (HIGH,) * count, 1, SEED)


def volume(outcome: Any) -> int:
    return sum(outcome.volume)


@settings(max_examples=300, deadline=None)
@given(components())
def test_most_welfare_then_most_volume(component: Component) -> None:
    outcome = clear_component(component)
    assert (outcome.welfare, volume(outcome)) == best(clipped(component), component.cells)


@settings(max_examples=300, deadline=None)
@given(components())
def test_the_checker_accepts_what_was_cleared(component: Component) -> None:
    assert check_component(printed(component, clear_component(component))) == []


@settings(max_examples=200, deadline=None)
@given(components(cells=1, most=14))
def test_a_single_cell_comes_out_as_from_the_plain_engine(component: Component) -> None:
    outcome = clear_component(component)
    book = Book(
        side=np.array([one.side for one in component.orders], dtype=np.int8),
        price=np.array([one.limits[0] for one in component.orders], dtype=np.int64),
        quantity=np.array([one.quantity for one in component.orders], dtype=np.int64),
        cohort=np.array([one.cohort for one in component.orders], dtype=np.int64),
        tie=[one.tie for one in component.orders],
        collar_low=LOW, collar_high=HIGH,
    )  # fmt: skip
    plain = clear(book)
    assert (outcome.welfare, volume(outcome)) == (plain.welfare, plain.volume)
    assert [sum(lots.values()) for lots in outcome.fills] == plain.fill.tolist()
    if plain.volume:
        assert (outcome.low, outcome.high, outcome.price) == ((plain.low,), (plain.high,), (plain.price,))


@settings(max_examples=150, deadline=None)
@given(components(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(component: Component, shuffler: random.Random) -> None:
    places = list(range(len(component.orders)))
    shuffler.shuffle(places)
    mixed = Component([component.orders[n] for n in places], component.collar_low, component.collar_high, 1, SEED)
    one, other = clear_component(component), clear_component(mixed)
    assert (one.price, one.low, one.high, one.volume) == (other.price, other.low, other.high, other.volume)
    assert [one.fills[n] for n in places] == list(other.fills)


@settings(max_examples=150, deadline=None)
@given(components(), st.integers(2, 1000), st.integers(2, 10**6))
def test_scaled_prices_and_quantities_scale_the_result(component: Component, k: int, m: int) -> None:
    scaled = Component(
        [Order(o.side, o.quantity * m, o.cohort, o.tie, o.cells, tuple(x * k for x in o.limits)) for o in component.orders],
        tuple(x * k for x in component.collar_low), tuple(x * k for x in component.collar_high), k, SEED,
    )  # fmt: skip
    one, other = clear_component(component), clear_component(scaled)
    assert other.price == tuple(x * k for x in one.price)
    assert (other.welfare, volume(other)) == (one.welfare * k * m, volume(one) * m)


@settings(max_examples=150, deadline=None)
@given(components(), components(most=1))
def test_one_more_bid_lowers_no_end_and_one_more_offer_raises_none(component: Component, more: Component) -> None:
    if not more.orders or more.cells > component.cells:
        return
    added = more.orders[0]
    extra = Order(added.side, added.quantity, 1, tie(99), added.cells, added.limits)
    one = clear_component(component)
    other = clear_component(Component([*component.orders, extra], component.collar_low, component.collar_high, 1, SEED))
    ends = [(a, b) for a, b in zip((*one.low, *one.high), (*other.low, *other.high), strict=True)]
    assert all(b >= a for a, b in ends) if added.side == 0 else all(b <= a for a, b in ends)


@settings(max_examples=200, deadline=None)
@given(components(blocks=True, cells=3, most=7))
def test_blocks_reach_the_best_choice_in_which_no_one_loses(component: Component) -> None:
    outcome = clear_component(component)
    orders = clipped(component)
    lots = [sum(one.values()) for one in outcome.fills]
    assert check_component(printed(component, outcome)) == []
    assert all(n == 0 or n >= one.minimum for n, one in zip(lots, orders, strict=True))
    if outcome.path == "fallback":
        return
    kept = frozenset(n for n, one in enumerate(orders) if one.is_block and n not in outcome.rejected)
    as_good = []
    for chosen in choices(orders):
        taking_part = without(orders, chosen)
        found = best(taking_part, component.cells)
        if found is None or found[0] < outcome.welfare or not supported(taking_part, component.cells, found[0]):
            continue
        assert found[0] == outcome.welfare, "a better choice in which no one loses was passed over"
        as_good.append(chosen)
    if all(one.minimum for one in orders if one.is_block):  # groups: test_exclusive.py
        assert kept == min(as_good, key=lambda chosen: sorted(orders[n].tie for n in chosen))


def test_a_crowd_of_blocks_is_cleared_without_looking_for_the_best_choice() -> None:
    shuffled = random.Random(1)
    orders = [
        Order(0, lots := shuffled.randint(10, 1_000), 1, tie(n), (0,), (shuffled.randint(LOW, HIGH),), lots)
        for n in range(400)
    ]
    orders += [
        Order(1, shuffled.randint(10, 5_000), 1, tie(1_000 + n), (0,), (shuffled.randint(LOW, HIGH),))
        for n in range(50)
    ]
    outcome = clear_component(Component(orders, (LOW,), (HIGH,), 1, SEED))
    assert outcome.path == "fallback" and volume(outcome) > 0
    assert all(sum(lots.values()) in {0, one.quantity} for lots, one in zip(outcome.fills[:400], orders, strict=False))
    assert check_component(printed(Component(orders, (LOW,), (HIGH,), 1, SEED), outcome)) == []


def mutations(part: Printed) -> list[Printed]:
    found = []
    for number, cell in enumerate(part.cells):
        for name in ("least", "greatest", "price", "volume"):
            for step in (-1, 1):
                cells = list(part.cells)
                cells[number] = replace(cell, **{name: getattr(cell, name) + step})
                found.append(replace(part, cells=cells))
    for number, order in enumerate(part.orders):
        for cell in range(len(part.cells)):
            for step in (-1, 1):
                lots = order.fills.get(cell, 0) + step
                if lots >= 0:
                    orders = list(part.orders)
                    orders[number] = replace(order, fills={**order.fills, cell: lots})
                    found.append(replace(part, orders=orders))
    return [*found, replace(part, welfare=part.welfare + 1)]


@settings(max_examples=100, deadline=None)
@given(components(most=8))
def test_the_checker_refuses_every_change_of_a_result(component: Component) -> None:
    for changed in mutations(printed(component, clear_component(component))):
        assert check_component(changed)


@settings(max_examples=100, deadline=None)
@given(components(blocks=True, cells=3, most=7))
def test_the_checker_refuses_every_change_of_a_result_with_blocks(component: Component) -> None:
    for changed in mutations(printed(component, clear_component(component))):
        reject(changed.orders)
        assert check_component(changed)


def test_a_bid_that_takes_either_hour_goes_to_the_cheaper_one() -> None:
    orders = [
        Order(0, 10, 1, tie(0), (0, 1), (14, 14)),
        Order(1, 10, 1, tie(1), (0,), (10,)),
        Order(1, 10, 1, tie(2), (1,), (7,)),
    ]
    outcome = clear_component(Component(orders, (5, 5), (15, 15), 1, SEED))
    assert outcome.fills == ({1: 10}, {}, {1: 10})
    assert outcome.low[1] == 7 and outcome.high[1] == 10 and outcome.price[1] == 8


@pytest.mark.parametrize("order", [
    Order(0, 1, 1, tie(0), (), ()),
    Order(0, 1, 1, tie(0), (1, 0), (5, 5)),
    Order(0, 1, 1, tie(0), (0, 9), (5, 5)),
    Order(0, 0, 1, tie(0), (0,), (5,)),
    Order(0, 2, 1, tie(0), (0,), (5,), 3),
    Order(1, 2, 1, tie(0), (0, 1), (5, 5)),
    Order(0, 2, 1, tie(0), (0,), (5,), 0, 1, 1),
    Order(1, 2, 1, tie(0), (0,), (5,), 0, 1),
    Order(1, 2, 1, tie(0), (0,), (5,), 0, None, 1),
    Order(1, 2, 1, tie(0), (0,), (5,), 1, 1, 1),
    Order(0, 2**41, 1, tie(0), (0,), (5,)),
])  # fmt: skip
def test_nonsense_is_refused(order: Order) -> None:
    with pytest.raises((BookInvalid, BookTooLarge)):
        clear_component(Component([order], (0, 0), (20, 20), 1, SEED))
