"""From prices that clear to the fills that the rules choose.

At equilibrium prices every bid strictly in the money is full and every one
strictly out has nothing; a bid fills only where its limit lies highest above the
price. What is left open, the optimal face, is decided here: most volume, then the
margin rule class by class, then by the seed which bid draws on which cell.

A class is what no rule tells apart: orders of one node (or of one cell's offers)
at the margin and of one cohort. Older classes are served first, then by
SHA-256(seed, class); inside a class in proportion, by largest remainder.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from market.matching_engine.book import BID, OFFER, Ints
from market.matching_engine.margin import pro_rata
from market.matching_engine.network import Network, Node
from market.matching_engine.program import Draft, NotSolved, Program

_WEIGHT_BITS = 24


@dataclass
class _Class:
    """Orders that the margin rule treats alike."""

    side: int
    at: int  # node or cell
    cohort: int
    rank: tuple[int, bytes]
    members: list[int] = field(default_factory=list)
    wanted: int = 0
    column: int = -1
    lots: int = 0


@dataclass
class _Face:
    """What prices leave open."""

    demand: list[int]  # lots that each node must draw
    supply: list[int]  # lots that each cell's offers give for certain
    fill: list[int]  # of each order, as far as it is certain
    classes: list[_Class]
    edges: list[tuple[int, int]]  # (node, cell) that may carry lots


def fills(network: Network, prices: Ints, seed: bytes) -> tuple[dict[int, int], ...]:
    """Lots by cell of every order.

    :raises NotSolved: these prices are no equilibrium.
    """
    face = _face(network, prices, seed)
    draft = Draft()
    nodes = [draft.row(lots, lots) for lots in face.demand]
    cells = [draft.row(-lots, -lots) for lots in face.supply]
    for one in face.classes:
        row, sign = (nodes[one.at], -1.0) if one.side == BID else (cells[one.at], 1.0)
        one.column = draft.column(1.0 if one.side == BID else 0.0, one.wanted, [(row, sign)])
    carried = {edge: draft.column(0.0, np.inf, [(nodes[edge[0]], 1.0), (cells[edge[1]], -1.0)]) for edge in face.edges}
    program = Program(draft)
    values = _whole(program.solve()[0])
    for one in face.classes:
        one.lots = int(values[one.column])
    _by_rank(face, {edge: int(values[column]) for edge, column in carried.items()})
    for one in face.classes:
        program.fix(one.column, one.lots, one.lots)
    program.maximise({column: _weight(seed, network.nodes[edge[0]], edge[1]) for edge, column in carried.items()})
    values = _whole(program.solve()[0])
    for one in face.classes:
        _share(network, one, one.lots, face.fill)
    return _route(network, face.fill, {edge: int(values[column]) for edge, column in carried.items()})


def _face(network: Network, prices: Ints, seed: bytes) -> _Face:
    at_cell: list[int] = prices.tolist()
    reach = [_reach(node, at_cell) for node in network.nodes]
    face = _Face([0] * len(network.nodes), [0] * network.cells, [0] * len(network.orders), [], [])
    classes: dict[tuple[int, int, int], _Class] = {}
    for number, at, order in (*network.bids(), *network.offers()):
        gain = order.limits[0] - reach[at] if order.side == BID else at_cell[at] - order.limits[0]
        certain = order.quantity if gain > 0 else order.minimum
        face.fill[number] = certain
        (face.demand if order.side == BID else face.supply)[at] += certain
        if gain == 0 and order.quantity > certain:
            key = (order.side, at, order.cohort)
            if key not in classes:
                classes[key] = _Class(*key, rank=(order.cohort, _class_hash(network, key, order.limits, seed)))
            classes[key].members.append(number)
            classes[key].wanted += order.quantity - certain
    face.classes = sorted(classes.values(), key=lambda one: one.rank)
    awake = {one.at for one in face.classes if one.side == BID} | {v for v, lots in enumerate(face.demand) if lots}
    face.edges = [
        (number, cell)
        for number in sorted(awake)
        for cell, diff in zip(network.nodes[number].cells, network.nodes[number].diffs, strict=True)
        if at_cell[cell] - diff == reach[number]
    ]
    return face


def _reach(node: Node, prices: list[int]) -> int:
    """The base from which a bid at this node is in the money."""
    return min(prices[cell] - diff for cell, diff in zip(node.cells, node.diffs, strict=True))


def _class_hash(network: Network, key: tuple[int, int, int], limits: tuple[int, ...], seed: bytes) -> bytes:
    side, at, cohort = key
    cells = network.nodes[at].cells if side == BID else (at,)
    text = f"{side};{','.join(map(str, cells))};{','.join(map(str, limits))};{cohort}"
    return hashlib.sha256(seed + text.encode()).digest()


def _weight(seed: bytes, node: Node, cell: int) -> float:
    """A number that the seed gives to this way, so that of equal ways one is chosen that nobody could choose."""
    digest = hashlib.sha256(seed + f"{node.cells};{node.diffs};{cell}".encode()).digest()
    return float(int.from_bytes(digest[:4]) >> (32 - _WEIGHT_BITS))


def _by_rank(face: _Face, carried: dict[tuple[int, int], int]) -> None:
    """Give each class in its order the most that only later ones of its side can give; the volume stays as it is.

    A lot goes from a later class to an earlier one along a way of nodes and cells on which draws are exchanged.
    """
    cells_of, nodes_of = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for node, cell in face.edges:
        cells_of[node].append(cell)
        nodes_of[cell].append(node)
    for side in (BID, OFFER):
        ranked = [one for one in face.classes if one.side == side]
        later: dict[int, list[_Class]] = defaultdict(list)
        for one in ranked:
            later[one.at].append(one)
        for one in ranked:
            if later[one.at] and later[one.at][0] is one:
                later[one.at].pop(0)
            while one.lots < one.wanted:
                way = _way_from_later(one, later, cells_of, nodes_of, carried)
                if way is None:
                    break
                _exchange(one, later[way[-1][0]][-1], way, carried)


def _way_from_later(
    one: _Class,
    later: dict[int, list[_Class]],
    cells_of: dict[int, list[int]],
    nodes_of: dict[int, list[int]],
    carried: dict[tuple[int, int], int],
) -> list[tuple[int, int]] | None:
    """The shortest way of nodes (for bids) or cells (for offers) to one where a later class has lots; None: there is none.

    A node takes from a cell that another node draws on; a cell gives to a node that draws on another cell. Each step is
    (node or cell, what stands between it and the one before, -1 for the first).
    """
    came: dict[int, tuple[int, int]] = {one.at: (one.at, -1)}
    todo = deque([one.at])
    crossed: set[int] = set()
    while todo:
        at = todo.popleft()
        _drop_empty(later[at])
        if later[at]:
            way = [(at, came[at][1])]
            while way[-1][0] != one.at:
                before = came[way[-1][0]][0]
                way.append((before, came[before][1]))
            return way[::-1]
        for middle in (cells_of if one.side == BID else nodes_of)[at]:
            if middle in crossed:
                continue
            crossed.add(middle)
            for following in (nodes_of if one.side == BID else cells_of)[middle]:
                edge = (following, middle) if one.side == BID else (middle, following)
                if following not in came and carried[edge] > 0:
                    came[following] = (at, middle)
                    todo.append(following)
    return None


def _exchange(one: _Class, other: _Class, way: list[tuple[int, int]], carried: dict[tuple[int, int], int]) -> None:
    """Move as many lots as the way bears from the later class to this one."""
    gives, takes = [], []
    for (before, _), (at, middle) in pairwise(way):
        gives.append((at, middle) if one.side == BID else (middle, at))
        takes.append((before, middle) if one.side == BID else (middle, before))
    lots = min(one.wanted - one.lots, other.lots, *(carried[edge] for edge in gives))
    for edge in gives:
        carried[edge] -= lots
    for edge in takes:
        carried[edge] += lots
    one.lots += lots
    other.lots -= lots


def _drop_empty(classes: list[_Class]) -> None:
    while classes and not classes[-1].lots:
        classes.pop()


def _whole(values: np.ndarray) -> Ints:
    """The solver's vertices are whole numbers of lots; what is not is no vertex.

    :raises NotSolved: a value is not whole.
    """
    rounded: Ints = np.rint(values).astype(np.int64)
    if len(values) and np.abs(values - rounded).max() > 1e-3:
        raise NotSolved("The solver's lots are not whole.")
    return rounded


def _share(network: Network, one: _Class, available: int, fill: list[int]) -> None:
    rows = np.array(one.members, dtype=np.int64)
    wants = np.array([network.orders[number].quantity - fill[number] for number in one.members], dtype=np.int64)
    ties = [network.orders[number].tie for number in one.members]
    for number, lots in zip(one.members, pro_rata(wants, available, ties, np.arange(len(rows))), strict=True):
        fill[number] += int(lots)


def _route(network: Network, fill: list[int], carried: dict[tuple[int, int], int]) -> tuple[dict[int, int], ...]:
    """Which bid of a node draws on which of its cells: both in a fixed order, side by side.

    :raises NotSolved: the solver's lots do not add up exactly.
    """
    routed: list[dict[int, int]] = [{} for _ in network.orders]
    ways: dict[int, list[list[int]]] = defaultdict(list)
    fed = [0] * network.cells
    for (node, cell), lots in sorted(carried.items()):
        if lots:
            ways[node].append([cell, lots])
            fed[cell] += lots
    for number, node, _order in sorted(network.bids(), key=lambda bid: (bid[2].cohort, bid[2].tie)):
        left = fill[number]
        while left:
            if not ways[node]:
                raise NotSolved("A node's bids and its ways do not add up.")
            way = ways[node][0]
            lots = min(left, way[1])
            routed[number][way[0]] = routed[number].get(way[0], 0) + lots
            left -= lots
            way[1] -= lots
            if not way[1]:
                ways[node].pop(0)
    for number, cell, _order in network.offers():
        if fill[number]:
            routed[number][cell] = fill[number]
            fed[cell] -= fill[number]
    if any(fed) or any(ways.values()):
        raise NotSolved("A cell's bought and sold lots do not add up.")
    return tuple(routed)
