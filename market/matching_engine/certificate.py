"""The checker of a round: is what it printed what the rules give? Plain Python, no solver, nothing of the engine.

Copy it with `certificate_reading.py` into a folder: `python certificate.py FILE` checks a certificate.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .certificate_reading import Cell, Component, Order, Round


def check_round(found: Round) -> list[str]:
    """What a round breaks: its seed, its order set, and each of its components; empty: it holds."""
    sealed = {
        "the seed is the one committed to": hashlib.sha256(found.seed).digest() == found.commitment,
        "the root is that of all that is printed, once": found.computed == found.root and found.once,
    }
    parts = [f"component {at}: {rule}" for at, part in enumerate(found.components) for rule in check_component(part)]
    return [rule for rule, holds in sealed.items() if not holds] + parts


def check_component(part: Component) -> list[str]:
    """The rules that a component breaks; empty: it is the equilibrium that the rules choose, for its choice of blocks."""
    cells, orders, live = part.cells, part.orders, [one for one in part.orders if not one.rejected]
    traded, worth = [[0, 0] for _ in cells], 0
    for one in orders:
        for x, lots in one.fills.items():
            traded[x][one.side] += lots
            worth += one.sign * one.limits.get(x, 0) * lots
    filled = {(one.group, one.deployment) for one in orders if one.group is not None and one.lots}
    middle = [(cell.least // cell.tick + cell.greatest // cell.tick) // 2 * cell.tick for cell in cells]
    rules = {
        "all cells have one tick": len({cell.tick for cell in cells}) == 1,
        "fills lie in an order's cells": all(one.fills.keys() <= one.limits.keys() for one in orders),
        "fills are lots above zero": all(lots > 0 for one in orders for lots in one.fills.values()),
        "fills lie between minimum and quantity": all(one.least <= one.lots <= one.quantity for one in orders),
        "of an exclusive group one deployment fills": len(filled) == len({group for group, _ in filled}),
        "bought = sold in every cell": traded == [[cell.volume] * 2 for cell in cells],
        "welfare is the sum of limits times fills": worth == part.welfare,
        "the price is the floored midpoint": [cell.price for cell in cells] == middle,
        "prices lie in the collar": all(one.low <= one.least <= one.greatest <= one.high for one in cells),
    }
    for end in ("least", "greatest", "price"):
        rules[f"everyone fills as the {end} price says"] = _in_balance(live, [getattr(cell, end) for cell in cells])
        rules[f"the {end} price is the outermost"] = end == "price" or _is_end(live, cells, end)
    return [rule for rule, holds in (rules | _margin(live)).items() if not holds]


def _in_balance(live: list[Order], prices: list[int]) -> bool:
    """In the money an order is full; it fills only where it gains most, and never at a loss."""
    for one in live:
        gains = {x: one.sign * (limit - prices[x]) for x, limit in one.limits.items()}
        one.best = max(gains.values())
        one.tight = {x for x, gain in gains.items() if gain == one.best}
    fits = (one.best >= 0 and one.fills.keys() <= one.tight for one in live if one.fills)
    return all(fits) and all(one.best <= 0 or one.lots == one.quantity for one in live)


def _is_end(live: list[Order], cells: list[Cell], end: str) -> bool:
    """No price can go further: there somebody would lose or be left out, or a bid would go elsewhere; or the collar ends."""
    is_high = end == "greatest"
    held = {x for x, one in enumerate(cells) if (one.greatest == one.high if is_high else one.least == one.low)}
    for one in live:
        if one.best == 0:
            held |= one.fills.keys() if one.side != is_high else one.tight if one.lots < one.quantity else set()
    return len(_reach(held, _ways(live)[is_high])) == len(cells)


def _margin(live: list[Order]) -> dict[str, bool]:
    """Most volume, then older classes, then in proportion: no exchange at the margin betters it."""
    ways, wanting = _ways(live), (set[int](), set[int]())
    classes: dict[tuple[int, int, bytes], list[Order]] = defaultdict(list)
    last: tuple[dict[int, tuple[int, bytes]], ...] = ({}, {})  # by cell the last class that has more than its minimum
    for one in (one for one in live if one.best == 0):
        classes[one.side, one.cohort, one.kind].append(one)
        wanting[one.side].update(one.tight if one.lots < one.quantity else ())
        for x in one.fills if one.lots > one.least else ():
            last[one.side][x] = max(last[one.side].get(x, (0, b"")), (one.cohort, one.kind))
    most = in_age = in_proportion = True
    for (side, cohort, kind), members in classes.items():
        wants = sum(one.quantity - one.least for one in members)
        given = left = sum(one.lots - one.least for one in members)
        shares = [(divmod((one.quantity - one.least) * given, wants or 1), one) for one in members]
        left -= sum(share for (share, _), _ in shares)
        shares.sort(key=lambda share: (-share[0][1], share[1].tie))
        in_proportion &= all(one.lots - one.least == n + (at < left) for at, ((n, _), one) in enumerate(shares))
        reached = _reach(set[int]().union(*(one.tight for one in members)), ways[side]) if given < wants else set()
        most &= not wanting[1 - side] & reached
        in_age &= not any(last[side].get(x, (0, b"")) > (cohort, kind) for x in reached)
    return {"no more volume is possible": most, "older classes come first, then by seed": in_age,
            "a class shares in proportion, then by remainder and tie": in_proportion}  # fmt: skip


def _ways(live: list[Order]) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """From cell to cell: from one that a bid draws on to one where it could as well, and the reverse."""
    there, back = defaultdict[int, set[int]](set), defaultdict[int, set[int]](set)
    for one in live:
        for x in one.fills:
            there[x] |= one.tight
            for y in one.tight:
                back[y].add(x)
    return there, back


def _reach(start: set[int], ways: dict[int, set[int]]) -> set[int]:
    reached, todo = set(start), list(start)
    while todo:
        new = ways.get(todo.pop(), set()) - reached
        reached |= new
        todo += new
    return reached


if __name__ == "__main__":
    import json
    import sys
    from pathlib import Path

    from certificate_reading import read  # type: ignore[import-not-found]  # the file beside this one

    broken = check_round(read(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    print("\n".join(broken) or "The round holds.")
    sys.exit(1 if broken else 0)
