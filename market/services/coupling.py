"""Products that a round clears together: the frozen rows as a component of the engine, and its outcome as rows again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np

from market.kernel.freezing import BID, OFFER, Ints
from market.matching_engine.coupled import Component, Order, Outcome
from market.models.orders import MAX_PRICE_MICROS
from market.selectors import FrozenBook, Quote
from market.services.exclusive import Groups


@dataclass(frozen=True)
class EngineCell:
    """One price: a product whose cells no bid tells apart, or one cell of it (`cell`, the bytes of its id)."""

    code: int
    cell: bytes | None


@dataclass(frozen=True)
class Part:
    """Rows of the book as a component of the engine, whose orders are parallel to `rows`."""

    rows: Ints
    cells: tuple[EngineCell, ...]
    component: Component


@dataclass(frozen=True)
class Coupled:
    """A cleared component; `outcome` is parallel to `rows`, the rows of the book that took part."""

    rows: Ints
    cells: tuple[EngineCell, ...]
    component: Component
    outcome: Outcome


def part_of(
    book: FrozenBook,
    rows: Ints,
    codes: Collection[int],
    quotes: Mapping[UUID, Quote],
    *,
    seed: bytes,
    groups: Groups,
) -> Part:
    """These products as a component; `rows` are their rows that take part. Its orders have no ties yet: see `tied`."""
    cells = _cells(book, rows, codes)
    number = {cell: position for position, cell in enumerate(cells)}
    kept, orders, numbers = [], [], (dict[int, int](), dict[int, int]())
    for row in rows.tolist():
        order = _order(book, row, cells, number)
        if order is not None:
            kept.append(row)
            orders.append(_grouped(order, groups, row, numbers))
    product = book.products[min(codes)]
    ends = [_collar(quotes[book.products[cell.code].id], product.tick_micros) for cell in cells]
    component = Component(
        orders=orders,
        collar_low=tuple(low for low, _ in ends),
        collar_high=tuple(high for _, high in ends),
        tick=product.tick_micros,
        seed=seed,
    )
    return Part(np.array(kept, dtype=np.int64), cells, component)


def tied(part: Part, tie: Sequence[bytes]) -> Part:
    """The component with the ties of its rows, which come from the root of what it prints."""
    orders = [replace(one, tie=tie[row]) for row, one in zip(part.rows.tolist(), part.component.orders, strict=True)]
    return replace(part, component=replace(part.component, orders=orders))


def _cells(book: FrozenBook, rows: Ints, codes: Collection[int]) -> tuple[EngineCell, ...]:
    """Where offers stand; a product is taken apart only where a bid takes some of its cells."""
    apart = {
        code
        for row in rows.tolist()
        if (wish := book.wishes.get(row)) is not None and wish.cells is not None
        for code in wish.limits
    }
    offers = rows[book.side[rows] == OFFER]
    found = {
        EngineCell(code, cell.tobytes() if code in apart else None)
        for code, cell in zip(book.product[offers].tolist(), book.cell[offers], strict=True)
        if code in codes
    }
    return tuple(sorted(found, key=lambda one: (one.code, one.cell or b"")))


def _order(book: FrozenBook, row: int, cells: Sequence[EngineCell], number: Mapping[EngineCell, int]) -> Order | None:
    """A row as the engine takes it; None for a bid that no cell with an offer suits."""
    code, lot = int(book.product[row]), book.products[int(book.product[row])].lot_st
    wish = book.wish(row)
    if book.side[row] == OFFER:
        own = book.cell[row].tobytes()
        at = {
            number[cell]: wish.limits[code]
            for cell in (EngineCell(code, own), EngineCell(code, None))
            if cell in number
        }
    else:
        at = {
            position: wish.limits[cell.code]
            for position, cell in enumerate(cells)
            if cell.code in wish.limits and (wish.cells is None or cell.cell in wish.cells)
        }
    if not at:
        return None
    quantity = int(book.available[row]) // lot
    return Order(
        side=int(book.side[row]),
        quantity=quantity,
        cohort=int(book.cohort[row]),
        tie=b"",
        cells=tuple(at),
        limits=tuple(at.values()),
        minimum=min(-(-wish.minimum_st // lot), quantity),
    )


def _grouped(order: Order, groups: Groups, row: int, numbers: tuple[dict[int, int], dict[int, int]]) -> Order:
    """The order with its exclusive group and deployment, each numbered as it comes, so that a number tells nothing."""
    if groups.group[row] < 0:
        return order
    group, deployment = (
        known.setdefault(int(column[row]), len(known))
        for known, column in zip(numbers, (groups.group, groups.deployment), strict=True)
    )
    return replace(order, group=group, deployment=deployment)


def _collar(quote: Quote, tick: int) -> tuple[int, int]:
    """The collar of a cell; a product that has none yet takes every price there is."""
    if quote.collar is None:
        return tick, MAX_PRICE_MICROS // tick * tick
    return quote.collar.low, quote.collar.high


def fills_by_cell(coupled: Coupled) -> list[tuple[int, Ints, Ints, Ints, Ints]]:
    """For each cell that traded: (cell, rows of bids, their lots, rows of offers, their lots)."""
    by_cell: dict[int, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: {BID: [], OFFER: []})
    for row, order, lots_by_cell in zip(
        coupled.rows.tolist(), coupled.component.orders, coupled.outcome.fills, strict=True
    ):
        for cell, lots in lots_by_cell.items():
            by_cell[cell][order.side].append((row, lots))
    found = []
    for cell, sides in sorted(by_cell.items()):
        (bids, bought), (offers, sold) = (np.array(sides[side], dtype=np.int64).T for side in (BID, OFFER))
        found.append((cell, bids, bought, offers, sold))
    return found
