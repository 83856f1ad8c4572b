"""Clearing a component: coupled cells, blocks and exclusive groups, at one price a cell."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from market.matching_engine import blocks
from market.matching_engine.book import BID, Ints
from market.matching_engine.coupled import Component, Order, Outcome, clipped, validate
from market.matching_engine.face import fills as face_fills
from market.matching_engine.network import network
from market.matching_engine.transport import interval, welfare_prices

_MOST_CUTS = 20
# Of more blocks the best choice is not looked for: a thousand would take seconds in which nobody can trade.
_MOST_BLOCKS = 300


def clear_component(component: Component) -> Outcome:
    """Clear one component; the result does not depend on the order of its rows.

    :raises BookInvalid: the component is not what `Component` says; `BookTooLarge` beyond its bounds.
    """
    validate(component)
    orders = clipped(component)
    blocks_in = sum(one.is_block for one in orders)
    if blocks_in > _MOST_BLOCKS:
        return _fallback(component, orders, 0)
    if not blocks_in:
        outcome = _priced(component, orders, ())
        assert outcome is not None, "without blocks every optimum has its prices"
        return outcome
    return _with_blocks(component, orders)


def _with_blocks(component: Component, orders: list[Order]) -> Outcome:
    """Best choice of blocks; one that would have to lose is forbidden, and the next best is tried."""
    forbidden: list[frozenset[int]] = []
    for cuts in range(_MOST_CUTS + 1):
        accepted = blocks.choose(orders, component.cells, component.tick, forbidden)
        if accepted is None:
            break
        rejected = tuple(number for number, one in enumerate(orders) if one.is_block and number not in accepted)
        outcome = _priced(component, orders, rejected, path="milp", cuts=cuts)
        if outcome is not None:
            return outcome
        forbidden.append(accepted)
    return _fallback(component, orders, len(forbidden))


def _fallback(component: Component, orders: list[Order], cuts: int) -> Outcome:
    """Take minimums as wishes; drop the blocks that come out too small or beside a larger one; clear again."""
    wishes = [Order(one.side, one.quantity, one.cohort, one.tie, one.cells, one.limits) for one in orders]
    rejected: set[int] = set()
    while True:
        outcome = _priced(component, wishes, tuple(sorted(rejected)), path="fallback", cuts=cuts)
        assert outcome is not None, "without minimums every optimum has its prices"
        broken = blocks.broken(orders, [sum(lots.values()) for lots in outcome.fills]) - rejected
        if not broken:
            return outcome
        rejected |= broken


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
