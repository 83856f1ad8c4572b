"""Orders of coupled cells as a transport network: bids stand at nodes, nodes draw on cells, offers feed cells.

Bids that accept the same cells with the same differences between their limits
stand at one node. A node's bid is known by its `base`, the limit in its first
cell; in another cell it pays `base + diff` of that cell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from market.matching_engine.book import BID
from market.matching_engine.coupled import Order


@dataclass(frozen=True, slots=True)
class Node:
    """Where bids stand: cells (ascending) and, beside each, what a bid pays there more than its base."""

    cells: tuple[int, ...]
    diffs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """A component without its rejected blocks. `at` is each order's node (a bid) or cell (an offer), None if rejected."""

    orders: Sequence[Order]
    nodes: tuple[Node, ...]
    at: tuple[int | None, ...]
    cells: int

    def bids(self) -> list[tuple[int, int, Order]]:
        """(number, node, order) of every bid that takes part."""
        return [
            (number, at, self.orders[number])
            for number, at in enumerate(self.at)
            if at is not None and self.orders[number].side == BID
        ]

    def offers(self) -> list[tuple[int, int, Order]]:
        """(number, cell, order) of every offer that takes part."""
        return [
            (number, at, self.orders[number])
            for number, at in enumerate(self.at)
            if at is not None and self.orders[number].side != BID
        ]


def network(orders: Sequence[Order], cells: int, rejected: Collection[int]) -> Network:
    """Place the orders, but for the rejected ones."""
    numbers: dict[Node, int] = {}
    at: list[int | None] = []
    for number, one in enumerate(orders):
        if number in rejected:
            at.append(None)
        elif one.side == BID:
            base = one.limits[0]
            node = Node(one.cells, tuple(limit - base for limit in one.limits))
            at.append(numbers.setdefault(node, len(numbers)))
        else:
            at.append(one.cells[0])
    return Network(orders, tuple(numbers), tuple(at), cells)
