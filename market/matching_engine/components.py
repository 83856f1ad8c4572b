"""Clearing a component: coupled cells, blocks and exclusive groups, at one price a cell."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from market.matching_engine import blocks
from market.matching_engine.blocks import Block
from market.matching_engine.book import BID, Ints
from market.matching_engine.coupled import Component, Order, Outcome, clipped, validate
from market.matching_engine.face import fills as face_fills
from market.matching_engine.network import network
from market.matching_engine.transport import interval, welfare_prices

# Choices that may be forbidden before the fallback; in a large book each costs more than a round can spare.
_MOST_CUTS, _MOST_CUTS_OF_LARGE, _LARGE = 20, 3, 500
_MOST_STEPS = 20  # of the fallback
# Of more blocks the best choice is not looked for: a thousand would take seconds in which nobody can trade.
_MOST_BLOCKS = 300
# A yes or no times more lots than this is no longer exact within the solver's tolerance.
_LARGEST_BLOCK = 2**26


def clear_component(component: Component) -> Outcome:
    """Clear one component; the result does not depend on the order of its rows.

    :raises BookInvalid: the component is not what `Component` says; `BookTooLarge` beyond its bounds.
    """
    validate(component)
    # What is left to the solver goes by the seed's ties, not by who came last.
    by_tie = sorted(range(len(component.orders)), key=lambda number: component.orders[number].tie)
    outcome = _clear(replace(component, orders=[component.orders[number] for number in by_tie]))
    fills: list[dict[int, int]] = [{}] * len(by_tie)
    for position, number in enumerate(by_tie):
        fills[number] = outcome.fills[position]
    rejected, paradoxical = (
        tuple(sorted(by_tie[position] for position in some)) for some in (outcome.rejected, outcome.paradoxical)
    )
    return replace(outcome, fills=tuple(fills), rejected=rejected, paradoxical=paradoxical)


def _clear(component: Component) -> Outcome:
    orders = clipped(component)
    found = blocks.blocks_of(orders)
    if not found:
        outcome = _priced(component, orders, ())
        assert outcome is not None, "without blocks every optimum has its prices"
        return outcome
    largest = max(orders[number].quantity for block in found for number in block.members)
    if len(found) > _MOST_BLOCKS or largest > _LARGEST_BLOCK:
        return _fallback(component, orders, found, 0)
    return _with_blocks(component, orders, found)


def _with_blocks(component: Component, orders: list[Order], found: Sequence[Block]) -> Outcome:
    """Best choice of blocks; one that would have to lose is forbidden, and the next best is tried."""
    forbidden: list[frozenset[int]] = []
    most = _MOST_CUTS if len(orders) <= _LARGE else _MOST_CUTS_OF_LARGE
    for cuts in range(most + 1):
        accepted = blocks.choose(orders, found, component.cells, component.tick, forbidden)
        if accepted is None:
            break
        outcome = _accepting(component, orders, found, accepted, cuts)
        while outcome is not None:
            settled = blocks.settled(found, accepted, outcome.fills)
            if settled == accepted:
                return outcome
            accepted = settled
            outcome = _accepting(component, orders, found, accepted, cuts)
        forbidden.append(accepted)
    return _fallback(component, orders, found, len(forbidden))


def _accepting(
    component: Component, orders: list[Order], found: Sequence[Block], accepted: Collection[int], cuts: int
) -> Outcome | None:
    rejected = {number for at, block in enumerate(found) if at not in accepted for number in block.members}
    return _priced(component, orders, tuple(sorted(rejected)), path="milp", cuts=cuts)


def _fallback(component: Component, orders: list[Order], found: Sequence[Block], cuts: int) -> Outcome:
    """Draw a deployment of each group, take minimums as wishes, drop the blocks that come out too small, clear again.

    Where that has no end in sight, all blocks with a minimum are dropped.
    """
    wishes = [replace(one, minimum=0) for one in orders]
    rejected = {number for block in blocks.drawn(found) for number in block.members}
    for step in itertools.count(1):
        outcome = _priced(component, wishes, tuple(sorted(rejected)), path="fallback", cuts=cuts)
        assert outcome is not None, "without minimums every optimum has its prices"
        lots = [sum(one.values()) for one in outcome.fills]
        broken = blocks.too_small(orders, lots) - rejected
        if not broken:
            break
        rejected |= broken if step < _MOST_STEPS else {number for number, one in enumerate(orders) if one.minimum}
    # The minimums hold by themselves now: with them as such, and what came out empty rejected, no result is better.
    rejected |= {number for number, one in enumerate(orders) if one.minimum and not lots[number]}
    outcome = _priced(component, orders, tuple(sorted(rejected)), path="fallback", cuts=cuts)
    assert outcome is not None, "prices that support the wishes support this too"
    return outcome


def _priced(
    component: Component, orders: Sequence[Order], rejected: Collection[int], *, path: str = "none", cuts: int = 0
) -> Outcome | None:
    """The outcome with these blocks rejected; None where an accepted one would lose at every price."""
    taking_part = network(orders, component.cells, set(rejected))
    prices = welfare_prices(taking_part, component.tick)
    fills = face_fills(taking_part, prices, component.seed)
    ends = interval(taking_part, fills, component.collar_low, component.collar_high)
    if ends is None:
        return None
    low, high = ends
    price = (low // component.tick + high // component.tick) // 2 * component.tick
    return Outcome(
        fills=fills,
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        price=tuple(price.tolist()),
        volume=_volumes(orders, fills, component.cells),
        welfare=_welfare(orders, fills),
        path=path,
        cuts=cuts,
        rejected=tuple(rejected),
        paradoxical=tuple(number for number in rejected if _gains(orders[number], price)),
    )


def _volumes(orders: Sequence[Order], fills: Sequence[dict[int, int]], cells: int) -> tuple[int, ...]:
    volume = [0] * cells
    for order, lots_by_cell in zip(orders, fills, strict=True):
        if order.side != BID:
            for cell, lots in lots_by_cell.items():
                volume[cell] += lots
    return tuple(volume)


def _welfare(orders: Sequence[Order], fills: Sequence[dict[int, int]]) -> int:
    total = 0
    for order, lots_by_cell in zip(orders, fills, strict=True):
        sign = 1 if order.side == BID else -1
        limits = dict(zip(order.cells, order.limits, strict=True))
        total += sign * sum(limits[cell] * lots for cell, lots in lots_by_cell.items())
    return total


def _gains(order: Order, price: Ints) -> bool:
    """Whether the price would have suited a rejected block."""
    gains = np.array(order.limits, dtype=np.int64) - price[list(order.cells)]
    return bool((gains > 0).any() if order.side == BID else (gains < 0).any())
