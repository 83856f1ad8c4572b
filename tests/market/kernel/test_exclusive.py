"""Exclusive groups: of the deployments on the same chips the program chooses one, against every choice tried."""

from __future__ import annotations

import hashlib
import itertools
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.matching_engine import components as engine
from market.matching_engine.certificate import check_component
from market.matching_engine.components import clear_component
from market.matching_engine.coupled import Component, Order, Outcome, clipped
from tests.market.kernel.coupled_oracle import best, choices, without
from tests.market.kernel.printed import printed

SEED = bytes(range(32))
LOW, HIGH = 5, 15
Deployment = tuple[int, int]


def tie(number: int) -> bytes:
    return hashlib.sha256(SEED + number.to_bytes(8)).digest()


@st.composite
def contested(draw: Any) -> Component:
    """Up to 3 groups of up to 3 deployments with up to 2 offers each, in up to 4 cells, and bids that want some."""
    cells = draw(st.integers(1, 4))
    orders: list[Order] = []

    def offer(group: int | None, deployment: int | None) -> None:
        at, limit = (draw(st.integers(0, cells - 1)),), (draw(st.integers(4, 14)),)
        quantity, cohort = draw(st.integers(1, 5)), draw(st.integers(1, 2))
        orders.append(Order(1, quantity, cohort, tie(len(orders)), at, limit, 0, group, deployment))

    for group in range(draw(st.integers(1, 3))):
        for deployment in range(draw(st.integers(1, 3))):
            for _ in range(draw(st.integers(1, 2))):
                offer(group, deployment)
    for _ in range(draw(st.integers(0, 2))):
        offer(None, None)
    for _ in range(draw(st.integers(1, 6))):
        at = tuple(sorted(draw(st.sets(st.integers(0, cells - 1), min_size=1, max_size=2))))
        limits = tuple(draw(st.integers(6, 16)) for _ in at)
        orders.append(Order(0, draw(st.integers(1, 5)), draw(st.integers(1, 2)), tie(len(orders)), at, limits))
    return Component(orders, (LOW,) * cells, (HIGH,) * cells, 1, SEED)


def deployments(orders: Any) -> dict[Deployment, list[int]]:
    found: dict[Deployment, list[int]] = {}
    for number, one in enumerate(orders):
        if one.group is not None:
            found.setdefault((one.group, one.deployment), []).append(number)
    return found


def standing(component: Component, outcome: Outcome) -> list[Deployment]:
    left = set(range(len(component.orders))) - set(outcome.rejected)
    return sorted(name for name, members in deployments(component.orders).items() if left & set(members))


def hash_of(component: Component, name: Deployment) -> bytes:
    ties = sorted(component.orders[number].tie for number in deployments(component.orders)[name])
    return hashlib.sha256(b"".join(ties)).digest()


@settings(max_examples=200, deadline=None)
@given(contested())
def test_no_other_choice_of_deployments_is_worth_more(component: Component) -> None:
    outcome = clear_component(component)

    orders = clipped(component)
    worth = [best(without(orders, chosen), component.cells) for chosen in choices(orders)]
    assert outcome.path == "milp"
    assert outcome.welfare == max(found[0] for found in worth if found is not None)
    kept = frozenset(n for n, one in enumerate(orders) if one.is_block and n not in outcome.rejected)
    assert (outcome.welfare, sum(outcome.volume)) == best(without(orders, kept), component.cells)
    assert check_component(printed(component, outcome)) == []


@settings(max_examples=200, deadline=None)
@given(contested())
def test_of_equal_choices_the_smallest_list_of_hashes_is_taken(component: Component) -> None:
    outcome = clear_component(component)

    orders, found = clipped(component), deployments(component.orders)
    groups = [[name for name in found if name[0] == group] for group in sorted({name[0] for name in found})]
    as_good = []
    for names in itertools.product(*groups):
        kept = frozenset(number for name in names for number in found[name])
        worth = best(without(orders, kept), component.cells)
        if worth is not None and worth[0] == outcome.welfare:
            as_good.append(sorted(names))
    assert outcome.path == "milp"
    assert standing(component, outcome) == min(
        as_good, key=lambda names: sorted(hash_of(component, name) for name in names)
    )


@settings(max_examples=150, deadline=None)
@given(contested())
def test_at_most_one_deployment_of_a_group_fills_and_none_beyond_what_it_offers(component: Component) -> None:
    outcome = clear_component(component)

    filled: dict[int, set[int]] = {}
    for one, lots in zip(component.orders, outcome.fills, strict=True):
        assert sum(lots.values()) <= one.quantity
        if lots and one.group is not None and one.deployment is not None:
            filled.setdefault(one.group, set()).add(one.deployment)
    assert all(len(names) == 1 for names in filled.values())


@settings(max_examples=150, deadline=None)
@given(contested(), st.randoms(use_true_random=False))
def test_order_of_rows_and_other_numbers_change_nothing(component: Component, shuffler: random.Random) -> None:
    places = list(range(len(component.orders)))
    shuffler.shuffle(places)
    numbers = [shuffler.sample(range(9), 9) for _ in range(2)]
    mixed = [
        one if one.group is None else replace(one, group=numbers[0][one.group], deployment=numbers[1][one.deployment])
        for one in (component.orders[n] for n in places)
    ]
    one, other = clear_component(component), clear_component(replace(component, orders=mixed))
    assert [one.fills[n] for n in places] == list(other.fills)
    assert (one.price, one.low, one.high, one.welfare) == (other.price, other.low, other.high, other.welfare)
    assert {places[n] for n in other.rejected} == set(one.rejected)
    assert clear_component(component) == one


@settings(max_examples=100, deadline=None)
@given(contested(), st.randoms(use_true_random=False))
def test_other_numbers_of_cells_change_neither_choice_nor_prices(component: Component, shuffler: random.Random) -> None:
    to = shuffler.sample(range(component.cells), component.cells)
    moved = []
    for one in component.orders:
        pairs = sorted((to[cell], limit) for cell, limit in zip(one.cells, one.limits, strict=True))
        moved.append(replace(one, cells=tuple(cell for cell, _ in pairs), limits=tuple(limit for _, limit in pairs)))
    one, other = clear_component(component), clear_component(replace(component, orders=moved))
    assert (one.welfare, one.rejected, sum(one.volume)) == (other.welfare, other.rejected, sum(other.volume))
    for name in ("low", "high", "price"):
        assert [getattr(other, name)[to[cell]] for cell in range(component.cells)] == list(getattr(one, name))


@settings(max_examples=100, deadline=None)
@given(contested(), st.sampled_from(["_MOST_BLOCKS", "_LARGEST_BLOCK"]))
def test_where_the_search_is_too_large_each_group_is_drawn(component: Component, bound: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, bound, 0)
        outcome = clear_component(component)

    assert outcome.path == "fallback"
    names = deployments(component.orders)
    drawn = [
        min((name for name in names if name[0] == group), key=lambda name: hash_of(component, name))
        for group in sorted({name[0] for name in names})
    ]
    assert standing(component, outcome) == drawn
    assert check_component(printed(component, outcome)) == []


@settings(max_examples=100, deadline=None)
@given(contested())
def test_of_a_group_that_fills_nothing_the_first_by_hash_stands(component: Component) -> None:
    outcome = clear_component(component)

    names = deployments(component.orders)
    for group, deployment in standing(component, outcome):
        rivals = [name for name in names if name[0] == group]
        if not any(outcome.fills[number] for name in rivals for number in names[name]):
            assert (group, deployment) == min(rivals, key=lambda name: hash_of(component, name))


def test_the_checker_refuses_two_deployments_of_a_group() -> None:
    orders = [
        Order(0, 5, 1, tie(0), (0,), (14,)), Order(1, 3, 1, tie(1), (0,), (8,), 0, 7, 1),
        Order(1, 2, 1, tie(2), (0,), (8,), 0, 7, 1),
    ]  # fmt: skip
    part = printed(
        Component(orders, (LOW,), (HIGH,), 1, SEED), clear_component(Component(orders, (LOW,), (HIGH,), 1, SEED))
    )
    assert check_component(part) == []

    part.orders[2].deployment = 2
    assert check_component(part) == ["of an exclusive group one deployment fills"]


def test_the_deployment_worth_more_is_chosen_and_the_other_is_named_where_the_price_would_have_suited_it() -> None:
    orders = [
        Order(0, 5, 1, tie(0), (0,), (14,)), Order(0, 5, 1, tie(1), (1,), (12,)),
        Order(1, 5, 1, tie(2), (0,), (8,), 0, 7, 1), Order(1, 5, 1, tie(3), (1,), (8,), 0, 7, 2),
        Order(1, 1, 1, tie(4), (1,), (10,)),
    ]  # fmt: skip
    outcome = clear_component(Component(orders, (LOW, LOW), (HIGH, HIGH), 1, SEED))

    assert outcome.fills == ({0: 5}, {1: 1}, {0: 5}, {}, {1: 1})
    assert outcome.rejected == outcome.paradoxical == (3,)
