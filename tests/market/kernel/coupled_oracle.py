"""Independent judges of coupled clearing: one lot at a time along the best path, and every choice of blocks tried."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from market.matching_engine.coupled import Order

SOURCE, SINK = "source", "sink"


def best(orders: Sequence[Order], cells: int) -> tuple[int, int] | None:
    """(most welfare, most volume at that welfare), with every order divisible from its minimum; None if impossible.

    Successive longest paths in the residual network (Bellman-Ford), lot by lot: while a path gains or costs nothing.
    """
    capacity: dict[tuple[object, object], int] = {}
    gain: dict[tuple[object, object], int] = {}

    def arc(a: object, b: object, lots: int, worth: int) -> None:
        capacity[a, b] = capacity.get((a, b), 0) + lots
        capacity.setdefault((b, a), 0)
        gain[a, b], gain[b, a] = worth, -worth

    must = 10**9  # worth of a lot that a minimum asks for: every one of them is served before all else
    for number, one in enumerate(orders):
        if one.side == 1:
            for part, lots, more in (("must", one.minimum, must), ("may", one.quantity - one.minimum, 0)):
                arc(SOURCE, ("offer", number, part), lots, more - one.limits[0])
                arc(("offer", number, part), ("cell", one.cells[0]), lots, 0)
        else:
            for part, lots, more in (("must", one.minimum, must), ("may", one.quantity - one.minimum, 0)):
                for cell, limit in zip(one.cells, one.limits, strict=True):
                    arc(("cell", cell), ("bid", number, part), lots, limit)
                arc(("bid", number, part), SINK, lots, more)
    welfare = volume = 0
    while True:
        path = _longest(capacity, gain)
        if path is None or path[0] < 0:
            break
        worth, arcs = path
        for a, b in arcs:
            capacity[a, b] -= 1
            capacity[b, a] += 1
        welfare, volume = welfare + worth, volume + 1
    wanted = sum(one.minimum for one in orders)
    if any(
        capacity[SOURCE, ("offer", n, "must")] if one.side == 1 else capacity[("bid", n, "must"), SINK]
        for n, one in enumerate(orders)
    ):
        return None
    return welfare - wanted * must, volume


def _longest(capacity: dict, gain: dict) -> tuple[int, list] | None:
    far: dict[object, int] = {SOURCE: 0}
    came: dict[object, tuple] = {}
    changed = True
    while changed:
        changed = False
        for (a, b), lots in capacity.items():
            if lots and a in far and far[a] + gain[a, b] > far.get(b, -(10**18)):
                far[b], came[b], changed = far[a] + gain[a, b], (a, b), True
    if SINK not in far:
        return None
    arcs, at = [], SINK
    while at != SOURCE:
        arcs.append(came[at])
        at = came[at][0]
    return far[SINK], arcs


def choices(orders: Sequence[Order]) -> list[frozenset[int]]:
    """Every choice of orders with a minimum, and of no or one deployment a group with all its offers."""
    alone = [number for number, one in enumerate(orders) if one.minimum]
    groups: dict[int, dict[int, frozenset[int]]] = {}
    for number, one in enumerate(orders):
        if one.group is not None:
            deployments = groups.setdefault(one.group, {})
            deployments[one.deployment] = deployments.get(one.deployment, frozenset()) | {number}
    found = []
    for size in range(len(alone) + 1):
        for chosen in itertools.combinations(alone, size):
            for picks in itertools.product(*([frozenset(), *one.values()] for one in groups.values())):
                found.append(frozenset(chosen).union(*picks))
    return found


def without(orders: Sequence[Order], chosen: frozenset[int]) -> list[Order]:
    """The orders but for the blocks that were not chosen."""
    return [one for number, one in enumerate(orders) if not one.is_block or number in chosen]


def supported(orders: Sequence[Order], cells: int, welfare: int) -> bool:
    """Whether some prices support this choice with no accepted block losing: every price vector on the grid is tried.

    By duality: at prices of an equilibrium the gains of all orders add up to the welfare, and nowhere to less.
    """
    for prices in itertools.product(range(5, 16), repeat=cells):
        total, someone_loses = 0, False
        for one in orders:
            sign = 1 if one.side == 0 else -1
            gain = max(sign * (limit - prices[cell]) for cell, limit in zip(one.cells, one.limits, strict=True))
            total += one.minimum * gain + (one.quantity - one.minimum) * max(gain, 0)
            someone_loses = someone_loses or (one.minimum > 0 and gain < 0)
        if total == welfare and not someone_loses:
            return True
    return False
