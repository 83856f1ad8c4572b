"""Which blocks to accept: a mixed-integer program of most welfare, one yes or no a block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from market.matching_engine.book import BID
from market.matching_engine.coupled import Order
from market.matching_engine.network import Network, network
from market.matching_engine.program import Draft, NotSolved, Program

# Up to so many blocks among so many orders, of equally good choices the smallest sorted list of hashes is taken.
_SMALL, _SMALL_BOOK = 12, 500


def choose(
    orders: Sequence[Order], cells: int, tick: int, forbidden: Collection[frozenset[int]]
) -> frozenset[int] | None:
    """The best choice that is not forbidden, as the numbers of the accepted blocks; None where the work has no end."""
    whole = network(orders, cells, ())
    numbers = [number for number, one in enumerate(orders) if one.is_block]
    draft, yes, lots = _draft(whole, numbers, tick)
    program = Program(draft)
    for choice in forbidden:
        entries = {yes[number]: -1.0 if number in choice else 1.0 for number in numbers}
        program.add_row(1.0 - len(choice), np.inf, entries)
    try:
        values, _, best = program.solve()
        if len(numbers) > _SMALL or len(orders) > _SMALL_BOOK:
            return _accepted(values, numbers, yes, lots)
        return _smallest(program, orders, numbers, yes, best)
    except NotSolved:
        return None


def _draft(whole: Network, numbers: list[int], tick: int) -> tuple[Draft, dict[int, int], dict[int, int]]:
    """The program, and for each block its column of yes or no and that of its lots."""
    draft = Draft()
    nodes = [draft.row(0, 0) for _ in whole.nodes]
    cells = [draft.row(0, 0) for _ in range(whole.cells)]
    rows = {number: (draft.row(-np.inf, 0), draft.row(0, np.inf)) for number in numbers}
    groups = {one.group: draft.row(0, 1) for one in whole.orders if one.group is not None}
    lots, yes = dict[int, int](), dict[int, int]()
    steps: dict[tuple[int, int, int], int] = defaultdict(int)
    for number, at, order in (*whole.bids(), *whole.offers()):
        if number not in rows:
            steps[order.side, at, order.limits[0]] += order.quantity
            continue
        row, sign = (nodes[at], -1.0) if order.side == BID else (cells[at], 1.0)
        most, least = rows[number]
        entries = [(row, sign), (most, 1.0), (least, 1.0)]
        lots[number] = draft.column(-sign * order.limits[0] / tick, order.quantity, entries)
        entries = [(most, -float(order.quantity)), (least, -float(max(order.minimum, 1)))]
        if order.group is not None:
            entries.append((groups[order.group], 1.0))
        yes[number] = draft.column(0.0, 1.0, entries, whole=True)
    for (side, at, limit), quantity in steps.items():
        row, sign = (nodes[at], -1.0) if side == BID else (cells[at], 1.0)
        draft.column(-sign * limit / tick, quantity, [(row, sign)])
    for number, node in enumerate(whole.nodes):
        for cell, diff in zip(node.cells, node.diffs, strict=True):
            draft.column(diff / tick, np.inf, [(nodes[number], 1.0), (cells[cell], -1.0)])
    return draft, yes, lots


def _accepted(values: np.ndarray, numbers: list[int], yes: dict[int, int], lots: dict[int, int]) -> frozenset[int]:
    return frozenset(number for number in numbers if values[yes[number]] > 0.5 and values[lots[number]] > 0.5)


def _smallest(
    program: Program, orders: Sequence[Order], numbers: list[int], yes: dict[int, int], best: float
) -> frozenset[int]:
    """Of the choices as good as the best, the one whose sorted hashes come first; a list comes before its extensions."""
    waiting = sorted(numbers, key=lambda number: orders[number].tie)
    accepted: list[int] = []
    refused: list[int] = []
    while not _reaches(program, yes, best, accepted, [*refused, *waiting]):
        for position, number in enumerate(waiting):
            if _reaches(program, yes, best, [*accepted, number], [*refused, *waiting[:position]]):
                accepted.append(number)
                refused += waiting[:position]
                waiting = waiting[position + 1 :]
                break
        else:
            raise NotSolved("No choice reaches the best welfare again.")
    return frozenset(accepted)


def _reaches(program: Program, yes: dict[int, int], best: float, accepted: list[int], refused: list[int]) -> bool:
    """Whether the best welfare is reached with these accepted and those refused."""
    for number, column in yes.items():
        program.fix(column, int(number in accepted), int(number not in refused))
    try:
        return program.solve()[2] > best - 0.5
    except NotSolved:
        return False


def broken(orders: Sequence[Order], lots: Sequence[int]) -> set[int]:
    """Blocks whose lots lie between nothing and their minimum, and group members beside a larger one."""
    found = {number for number, one in enumerate(orders) if 0 < lots[number] < one.minimum}
    members: dict[int, list[int]] = defaultdict(list)
    for number, one in enumerate(orders):
        if one.group is not None and lots[number]:
            members[one.group].append(number)
    for group in members.values():
        first = min(group, key=lambda number: (-lots[number], orders[number].tie))
        found |= set(group) - {first}
    return found
