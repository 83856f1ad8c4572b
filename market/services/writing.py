"""The rows of a cleared round, written by COPY and by one statement a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from accounts.kernel import ids
from ledger import services as ledger
from ledger.services import HoldChange
from market.kernel import binary
from market.kernel.freezing import BID, OFFER, due_micro_st_per_second
from market.models import Round
from market.services.clearing import Outcome

_FILL = {"round_id": "uuid", "order_id": "uuid", "cell_id": "uuid", "side": "int2", "quantity_st": "int8",
         "price_micros": "int8"}  # fmt: skip
_ALLOCATION = {
    "id": "uuid", "round_id": "uuid", "product_id": "uuid", "cell_id": "uuid", "buyer_id": "uuid", "seller_id": "uuid",
    "buy_order_id": "uuid", "sell_order_id": "uuid", "deployment_id": "uuid", "pool_id": "uuid", "quantity_st": "int8",
    "price_micros": "int8", "hold_id": "uuid", "round_number": "int8", "created_at": "timestamptz",
}  # fmt: skip


def write_fills(outcome: Outcome, round_: Round) -> int:
    """One row an order and cell: the trigger takes them from the book and ends the orders that are full."""
    book, pairs = outcome.book, outcome.pairs
    # A bid may fill in several cells.
    cell, _ = binary.codes(book.cell)
    key = pairs.buy * (cell.max(initial=0) + 1) + cell[pairs.sell]
    kept, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    bought = np.zeros(len(kept), dtype=np.int64)
    np.add.at(bought, inverse, pairs.quantity)
    bids, cells, paid = pairs.buy[first], book.cell[pairs.sell[first]], outcome.price[pairs.sell[first]]
    offers = np.flatnonzero((book.side == OFFER) & (outcome.fill > 0))
    rows = np.concatenate([bids, offers])
    values = {
        "round_id": binary.repeated(round_.id, len(rows)),
        "order_id": book.order[rows],
        "cell_id": np.concatenate([cells, book.cell[offers]]),
        "side": book.side[rows],
        "quantity_st": np.concatenate([bought, outcome.fill[offers]]),
        "price_micros": np.concatenate([paid, outcome.price[offers]]),
    }
    _copy("market_fill", values, _FILL)
    return len(rows)


def write_allocations(outcome: Outcome, round_: Round, *, now: datetime) -> list[UUID]:
    """One row a pair; gives their ids, which are also those of their holds."""
    book, pairs = outcome.book, outcome.pairs
    size = len(pairs.quantity)
    made = ids.many(size)
    if not size:
        return made
    column = binary.uuids(made)
    product_ids = binary.uuids([product.id for product in book.products])
    values = {
        "id": column,
        "round_id": binary.repeated(round_.id, size),
        "product_id": product_ids[book.product[pairs.sell]],
        "cell_id": book.cell[pairs.sell],
        "buyer_id": book.owner[pairs.buy],
        "seller_id": book.owner[pairs.sell],
        "buy_order_id": book.order[pairs.buy],
        "sell_order_id": book.order[pairs.sell],
        "deployment_id": book.deployment[pairs.sell],
        "pool_id": book.pool[pairs.sell],
        "quantity_st": pairs.quantity,
        "price_micros": outcome.price[pairs.sell],
        "hold_id": column,
        "round_number": np.full(size, round_.number),
        "created_at": np.full(size, binary.timestamp(now)),
    }
    _copy("market_allocation", values, _ALLOCATION)
    return made


def change_holds(
    outcome: Outcome, allocations: list[UUID], round_: Round, *, grace_seconds: int, now: datetime
) -> None:
    """Each bid's hold gives p × q to its allocations, and what the price stayed below its limit back.

    What is left of bids for this round only is given back too.
    """
    changes = _splits(outcome, allocations, grace_seconds) + _releases(outcome, round_)
    if changes:
        # Allocations are new with this transaction, and a round is written once.
        ledger.change_holds(changes, now=now, keys_are_new=True)


def _splits(outcome: Outcome, allocations: list[UUID], grace_seconds: int) -> list[HoldChange]:
    book, pairs = outcome.book, outcome.pairs
    until = [outcome.hold_until(product, grace_seconds) for product in book.products]
    costs = outcome.cost(pairs.sell, outcome.price[pairs.sell], pairs.quantity)
    holds = binary.to_uuids(book.hold[pairs.buy])
    return [
        HoldChange(
            key=f"fill:{allocation}",
            hold_id=hold,
            action="split",
            amount_micros=cost,
            child_id=allocation,
            child_expires_at=until[product],
        )
        for allocation, hold, cost, product in zip(
            allocations, holds, costs.tolist(), book.product[pairs.sell].tolist(), strict=True
        )
    ]


def _releases(outcome: Outcome, round_: Round) -> list[HoldChange]:
    """What bids paid less than their limit, and what is held for the rest of bids for this round only."""
    book, pairs = outcome.book, outcome.pairs
    every = np.arange(len(book), dtype=np.int64)
    back = np.where(book.side == BID, outcome.cost(every, book.limit, outcome.fill), 0)
    np.subtract.at(back, pairs.buy, outcome.cost(pairs.sell, outcome.price[pairs.sell], pairs.quantity))
    ended = (book.side == BID) & outcome.ended
    back += np.where(ended, outcome.cost(every, book.limit, book.left - outcome.fill), 0)
    rows = np.flatnonzero(back > 0)
    amounts = back[rows]
    orders, holds = binary.to_uuids(book.order[rows]), binary.to_uuids(book.hold[rows])
    return [
        HoldChange(key=f"round:{round_.number}:{order}", hold_id=hold, action="release", amount_micros=amount)
        for order, hold, amount in zip(orders, holds, amounts.tolist(), strict=True)
    ]


def end_for_this_round_only(outcome: Outcome, *, now: datetime) -> int:
    """Take what is left of orders for this round only out of the book; their holds are given back elsewhere."""
    ended = binary.to_uuids(outcome.book.order[outcome.ended])
    if ended:
        with connection.cursor() as cursor:
            cursor.execute(
                "WITH gone AS (DELETE FROM market_book WHERE order_id = ANY(%s) RETURNING order_id, quantity_left_st) "
                "INSERT INTO market_orderend (order_id, reason, unfilled_st, at) "
                "SELECT order_id, 'expired', quantity_left_st, %s FROM gone",
                [ended, now],
            )
    return len(ended)


def add_sold(outcome: Outcome, seconds: list[int]) -> None:
    """Count what was sold against its supply, and against its rate for the seconds left of its product's window."""
    book = outcome.book
    rows = np.flatnonzero((book.side == OFFER) & (outcome.fill > 0))
    if not len(rows):
        return
    code, supplies = binary.codes(book.supply[rows])
    sold = np.zeros(len(supplies), dtype=np.int64)
    np.add.at(sold, code, outcome.fill[rows])
    window = np.zeros(len(supplies), dtype=np.int64)
    window[code] = np.array(seconds, dtype=np.int64)[book.product[rows]]
    due = [
        due_micro_st_per_second(quantity, seconds=left)
        for quantity, left in zip(sold.tolist(), window.tolist(), strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE market_supply s SET sold_st = s.sold_st + t.sold, "
            "due_micro_st_per_second = s.due_micro_st_per_second + t.due "
            "FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS t (id, sold, due) WHERE s.id = t.id",
            [binary.to_uuids(supplies), sold.tolist(), due],
        )


def _copy(table: str, values: Mapping[str, NDArray[np.generic]], columns: Mapping[str, str]) -> None:
    if not len(next(iter(values.values()))):
        return
    sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        copy.write(binary.encode(values, columns))
