"""Prices of coupled cells: the duals of the transport program of most welfare, then the ends of all that clear."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from market.matching_engine.book import BID, Ints
from market.matching_engine.network import Network
from market.matching_engine.program import Draft, Program

_FAR = 2**62


def welfare_prices(network: Network, tick: int) -> Ints:
    """Prices at which the most welfare is reached, one a cell; any of the possible ones.

    :raises NotSolved: the minimums of the accepted blocks cannot all be met.
    """
    draft = Draft()
    wanted, given = [0] * len(network.nodes), [0] * network.cells
    steps: dict[tuple[int, int, int], int] = defaultdict(int)
    for _, at, order in (*network.bids(), *network.offers()):
        (wanted if order.side == BID else given)[at] += order.minimum
        steps[order.side, at, order.limits[0]] += order.quantity - order.minimum
    nodes = [draft.row(lots, lots) for lots in wanted]
    cells = [draft.row(-lots, -lots) for lots in given]
    for (side, at, limit), lots in steps.items():
        row, sign = (nodes[at], -1.0) if side == BID else (cells[at], 1.0)
        draft.column(-sign * limit / tick, lots, [(row, sign)])
    for number, node in enumerate(network.nodes):
        for cell, diff in zip(node.cells, node.diffs, strict=True):
            draft.column(diff / tick, np.inf, [(nodes[number], 1.0), (cells[cell], -1.0)])
    duals = Program(draft).solve()[1]
    return -np.rint(duals[len(nodes) :]).astype(np.int64) * tick


def interval(
    network: Network, fills: Sequence[dict[int, int]], collar_low: Sequence[int], collar_high: Sequence[int]
) -> tuple[Ints, Ints] | None:
    """The least and the greatest prices at which these fills are an equilibrium; None where there are none.

    Each order bounds its cells, and a node that draws on a cell bounds the
    difference to each of its other cells: a system of difference constraints, whose
    ends are shortest paths.
    """
    low, high = np.array(collar_low, dtype=np.int64), np.array(collar_high, dtype=np.int64)
    for number, cell, order in network.offers():
        lots = fills[number].get(cell, 0)
        if lots:
            low[cell] = max(low[cell], order.limits[0])
        if lots < order.quantity:
            high[cell] = min(high[cell], order.limits[0])
    used, served, waiting = _at_nodes(network, fills)
    steps = np.full((network.cells, network.cells), _FAR, dtype=np.int64)  # price[b] <= price[a] + steps[a, b]
    for number, node in enumerate(network.nodes):
        cells, diffs = np.array(node.cells), np.array(node.diffs, dtype=np.int64)
        if number in waiting:
            low[cells] = np.maximum(low[cells], waiting[number] + diffs)
        for cell in used[number]:
            diff = node.diffs[node.cells.index(cell)]
            high[cell] = min(high[cell], served[number] + diff)
            steps[cells, cell] = np.minimum(steps[cells, cell], diff - diffs)
    greatest, least = _spread(high, steps), -_spread(-low, steps.T)
    if (greatest < low).any() or (least > high).any():
        return None
    return least, greatest


def _at_nodes(
    network: Network, fills: Sequence[dict[int, int]]
) -> tuple[dict[int, set[int]], dict[int, int], dict[int, int]]:
    """By node: the cells it draws on, the lowest base served, the highest base that wants more."""
    used: dict[int, set[int]] = defaultdict(set)
    served: dict[int, int] = {}
    waiting: dict[int, int] = {}
    for number, node, order in network.bids():
        base, lots = order.limits[0], sum(fills[number].values())
        used[node].update(fills[number])
        if lots:
            served[node] = min(served.get(node, base), base)
        if lots < order.quantity:
            waiting[node] = max(waiting.get(node, base), base)
    return used, served, waiting


def _spread(ends: Ints, steps: Ints) -> Ints:
    """The greatest values at most `ends` with value[b] <= value[a] + steps[a, b]; each pass carries one step further."""
    values = ends
    for _ in range(len(ends)):
        following = np.minimum(values, (values[:, None] + steps).min(axis=0))
        if (following == values).all():
            break
        values = following
    return values
