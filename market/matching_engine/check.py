"""The checker of a round: plain Python, no solver, nothing of the engine. Copy it, and check what was published."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

Row = tuple[int, float, int, int, bytes, int]  # side, clipped limit, quantity, cohort, tie, fill; integers are exact


class Breach(Exception):
    """A rule of the auction that a result breaks; the text names it."""


def check(book: Any, result: Any) -> None:
    """Raise a Breach unless this is the one result that the rules allow: equilibrium, most volume, margin, price."""
    floor = -inf if book.collar_low is None else int(book.collar_low)
    ceiling = inf if book.collar_high is None else int(book.collar_high)
    free = [False] * len(book.side) if book.takes_any is None else book.takes_any
    columns = zip(book.side, book.price, free, book.quantity, book.cohort, book.tie, result.fill, strict=True)
    rows: list[Row] = []
    for side, price, is_free, quantity, cohort, tie, fill in columns:
        limit = max(-inf if is_free else int(price), floor) if side else min(inf if is_free else int(price), ceiling)
        rows.append((int(side), limit, int(quantity), int(cohort), tie, int(fill)))
    _need(all(0 <= r[5] <= r[2] for r in rows), "fills lie within quantities")
    _need(sum(r[5] for r in rows if not r[0]) == sum(r[5] for r in rows if r[0]) == result.volume, "bought = sold")
    worth = sum((-1 if r[0] else 1) * int(r[1]) * r[5] for r in rows if isfinite(r[1]))
    _need(worth == result.welfare, "welfare is the sum of limits times fills")
    served_bids, served_offers = ([r[1] for r in rows if r[0] == side and r[5]] for side in (0, 1))
    open_bids, open_offers = ([r[1] for r in rows if r[0] == side and r[5] < r[2]] for side in (0, 1))
    _need(not (open_bids and open_offers) or max(open_bids) < min(open_offers), "no more volume is possible")
    low, high = max(served_offers + open_bids, default=-inf), min(served_bids + open_offers, default=inf)
    _need(not result.volume or low <= high, "no accepted order loses, and none of the better ones is left out")
    ends = tuple(int(end) if result.volume and isfinite(end) else None for end in (low, high))
    _need((result.low, result.high) == ends, "the interval is what served and open orders leave")
    price = None if None in ends else (int(low) // book.tick + int(high) // book.tick) // 2 * book.tick
    _need(result.price == price, "the price is the floored midpoint; no trade, no price")
    _need(result.collar_hit == (price is not None and price in {floor, ceiling}), "a price at the collar is flagged")
    for side in (0, 1):
        _margin([r for r in rows if r[0] == side and r[2]])


def _margin(rows: list[Row]) -> None:
    """Inside one side: better limits first, then older cohorts, then in proportion, leftovers by remainder and tie."""
    left, groups = sum(r[5] for r in rows), dict[tuple[float, int], list[Row]]()
    for row in rows:
        groups.setdefault((row[1] if row[0] else -row[1], row[3]), []).append(row)
    for _, group in sorted(groups.items(), key=lambda item: item[0]):
        wanted = sum(r[2] for r in group)
        given = min(wanted, left)
        ranked = sorted(group, key=lambda r: (-(r[2] * given % wanted), r[4]))
        extra = given - sum(r[2] * given // wanted for r in group)
        exact = all(r[5] == r[2] * given // wanted + (at < extra) for at, r in enumerate(ranked))
        _need(exact, "the last price is shared by cohort, in proportion, then by remainder and tie")
        left -= given


def _need(holds: bool, rule: str) -> None:
    if not holds:
        raise Breach(rule)
