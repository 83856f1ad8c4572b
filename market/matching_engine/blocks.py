"""Which blocks to accept: a mixed-integer program of most welfare, one yes or no a block.

A block is an order with a minimum, or the offers of one deployment of an exclusive group. Of each group exactly one
deployment stands: its offers may still come out empty, so that costs no welfare, and they bound the price as others do.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from market.matching_engine.book import BID
from market.matching_engine.coupled import Order
from market.matching_engine.network import Network, network
from market.matching_engine.program import Draft, NotSolved, Program

# Up to so many blocks among so many orders, of equally good choices the smallest sorted list of hashes is taken.
_SMALL, _SMALL_BOOK = 12, 500


@dataclass(frozen=True)
class Block:
    """Orders (by number) that are accepted or rejected together; `tie` comes from theirs."""

    members: tuple[int, ...]
    tie: bytes
    group: int | None = None


def blocks_of(orders: Sequence[Order]) -> list[Block]:
    """The blocks among the orders, by tie."""
    alone = [Block((number,), one.tie) for number, one in enumerate(orders) if one.minimum]
    deployments: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, one in enumerate(orders):
        if one.group is not None and one.deployment is not None:
            deployments[one.group, one.deployment].append(number)
    # All ties of a deployment count, so that more offers do not make it luckier.
    together = [
        Block(tuple(members), hashlib.sha256(b"".join(sorted(orders[n].tie for n in members))).digest(), group)
        for (group, _), members in deployments.items()
    ]
    return sorted([*alone, *together], key=lambda block: block.tie)


def drawn(blocks: Sequence[Block]) -> list[Block]:
    """The deployments that are left out where none is looked for: of each group the first by tie stays."""
    stays: dict[int, Block] = {}
    for block in blocks:
        if block.group is not None:
            stays.setdefault(block.group, block)
    return [block for block in blocks if block.group is not None and stays[block.group] is not block]


def settled(blocks: Sequence[Block], accepted: Collection[int], fills: Sequence[dict[int, int]]) -> frozenset[int]:
    """The same choice, but that of a group that fills nothing the first deployment by tie stands: it is as good."""
    empty = {b.group for at, b in enumerate(blocks) if at in accepted and not any(fills[n] for n in b.members)}
    out = set(drawn(blocks))
    return frozenset(
        at
        for at, block in enumerate(blocks)
        if (at in accepted if block.group is None or block.group not in empty else block not in out)
    )


def choose(
    orders: Sequence[Order], blocks: Sequence[Block], cells: int, tick: int, forbidden: Collection[frozenset[int]]
) -> frozenset[int] | None:
    """The best choice that is not forbidden, as positions of the accepted blocks; None where the work has no end."""
    draft, yes, lots = _draft(network(orders, cells, ()), blocks, tick)
    program = Program(draft)
    for choice in forbidden:
        entries = {column: -1.0 if at in choice else 1.0 for at, column in enumerate(yes)}
        program.add_row(1.0 - len(choice), np.inf, entries)
    try:
        values, _, best = program.solve()
        if len(blocks) > _SMALL or len(orders) > _SMALL_BOOK:
            return frozenset(
                at for at in range(len(blocks)) if values[yes[at]] > 0.5 and (at not in lots or values[lots[at]] > 0.5)
            )
        return _smallest(program, yes, best)
    except NotSolved:
        return None


def _draft(whole: Network, blocks: Sequence[Block], tick: int) -> tuple[Draft, list[int], dict[int, int]]:
    """The program, each block's column of yes or no, and for a block with a minimum the column of its lots."""
    draft = Draft()
    nodes = [draft.row(0, 0) for _ in whole.nodes]
    cells = [draft.row(0, 0) for _ in range(whole.cells)]
    groups = {group: draft.row(1, 1) for group in sorted({b.group for b in blocks if b.group is not None})}
    block_of = {number: at for at, block in enumerate(blocks) for number in block.members}
    lots, rows = dict[int, int](), defaultdict[int, list[tuple[int, float]]](list)
    steps: dict[tuple[int, int, int, int | None], int] = defaultdict(int)
    for number, at, order in (*whole.bids(), *whole.offers()):
        steps[order.side, at, order.limits[0], block_of.get(number)] += order.quantity
    for (side, at, limit, block), quantity in steps.items():
        row, sign = (nodes[at], -1.0) if side == BID else (cells[at], 1.0)
        entries = [(row, sign)]
        if block is not None:
            most = draft.row(-np.inf, 0)
            rows[block].append((most, -float(quantity)))
            entries.append((most, 1.0))
            if blocks[block].group is None:
                least = draft.row(0, np.inf)
                rows[block].append((least, -float(whole.orders[blocks[block].members[0]].minimum)))
                entries.append((least, 1.0))
                lots[block] = len(draft.cost)
        draft.column(-sign * limit / tick, quantity, entries)
    for number, node in enumerate(whole.nodes):
        for cell, diff in zip(node.cells, node.diffs, strict=True):
            draft.column(diff / tick, np.inf, [(nodes[number], 1.0), (cells[cell], -1.0)])
    for number, one in enumerate(blocks):
        if one.group is not None:
            rows[number].append((groups[one.group], 1.0))
    return draft, [draft.column(0.0, 1.0, rows[number], whole=True) for number in range(len(blocks))], lots


def _smallest(program: Program, yes: Sequence[int], best: float) -> frozenset[int]:
    """Of the choices as good as the best, the one whose sorted hashes come first; a list comes before its extensions."""
    waiting = list(range(len(yes)))  # by tie, as the blocks are
    accepted: list[int] = []
    refused: list[int] = []
    while not _reaches(program, yes, best, accepted, [*refused, *waiting]):
        for position, block in enumerate(waiting):
            if _reaches(program, yes, best, [*accepted, block], [*refused, *waiting[:position]]):
                accepted.append(block)
                refused += waiting[:position]
                waiting = waiting[position + 1 :]
                break
        else:
            raise NotSolved("No choice reaches the best welfare again.")
    return frozenset(accepted)


def _reaches(program: Program, yes: Sequence[int], best: float, accepted: list[int], refused: list[int]) -> bool:
    """Whether the best welfare is reached with these accepted and those refused."""
    for block, column in enumerate(yes):
        program.fix(column, int(block in accepted), int(block not in refused))
    try:
        return program.solve()[2] > best - 0.5
    except NotSolved:
        return False


def too_small(orders: Sequence[Order], lots: Sequence[int]) -> set[int]:
    """Blocks whose lots lie between nothing and their minimum."""
    return {number for number, one in enumerate(orders) if 0 < lots[number] < one.minimum}
