"""The certificate checker: plain Python, no solver, nothing of the engine. Copy it and check a round yourself.

Give it the clipped book and the result as they were published.
"""

from __future__ import annotations

from typing import Any


class Breach(Exception):
    """A rule of the auction that a result breaks; the text names it."""


def check(book: Any, result: Any) -> None:
    """Prove that a result is the one the rules allow: equilibrium, most volume, margin rule, floored midpoint.

    :raises Breach: the first rule that does not hold.
    """
    low, high, tick = book.collar_low, book.collar_high, book.tick
    takes_any = [False] * len(book.side) if book.takes_any is None else [bool(x) for x in book.takes_any]
    rows, welfare = [], 0
    for i, (side, price, quantity) in enumerate(zip(book.side, book.price, book.quantity, strict=True)):
        limit: float | int = int(price)
        if takes_any[i]:
            limit = float("-inf") if side else float("inf")
        if side and low is not None:
            limit = max(limit, low)
        if not side and high is not None:
            limit = min(limit, high)
        rows.append((int(side), limit, int(quantity), int(book.cohort[i]), book.tie[i], int(result.fill[i])))
        if not takes_any[i]:
            welfare += (-1 if side else 1) * int(limit) * rows[-1][5]
    _need(all(0 <= fill <= quantity for _, _, quantity, _, _, fill in rows), "fills lie within quantities")
    bought, sold = (sum(row[5] for row in rows if row[0] == side) for side in (0, 1))
    _need(bought == sold == result.volume, "bought = sold = volume")
    _need(welfare == result.welfare, "welfare is the sum of limits times fills")
    served_bids, served_offers = ([r[1] for r in rows if r[0] == side and r[5]] for side in (0, 1))
    open_bids, open_offers = ([r[1] for r in rows if r[0] == side and r[5] < r[2]] for side in (0, 1))
    crossed = open_bids and open_offers and max(open_bids) >= min(open_offers)
    _need(not crossed, "no more volume is possible")
    if not result.volume:
        _need(
            (result.price, result.low, result.high, result.collar_hit) == (None, None, None, False),
            "no trade, no price",
        )
        return
    ends = (max([*served_offers, *open_bids]), min([*served_bids, *open_offers]))
    least = low if ends[0] == float("-inf") else ends[0]
    most = high if ends[1] == float("inf") else ends[1]
    _need((result.low, result.high) == (least, most), "the interval is what served and open orders leave")
    _need(least is None or most is None or least <= most, "the interval is not empty")
    middle = most if least is None else least if most is None else (int(least) // tick + int(most) // tick) // 2 * tick
    _need(result.price == middle, "the price is the floored midpoint")
    _need(result.collar_hit == (middle is not None and middle in {low, high}), "the collar's hit is printed")
    for side, served in ((0, served_bids), (1, served_offers)):
        last = min(served) if side == 0 else max(served)
        better = [r for r in rows if r[0] == side and (r[1] > last if side == 0 else r[1] < last)]
        _need(all(r[5] == r[2] for r in better), "orders inside the price are full")
        _margin([r for r in rows if r[0] == side and r[1] == last])


def _margin(rows: list[Any]) -> None:
    left = sum(row[5] for row in rows)
    for age in sorted({row[3] for row in rows}):
        cohort = [row for row in rows if row[3] == age]
        wanted = sum(row[2] for row in cohort)
        given = min(wanted, left)
        ranked = sorted(cohort, key=lambda row: (-(row[2] * given % wanted), row[4]))
        extra = given - sum(row[2] * given // wanted for row in cohort)
        exact = all(row[5] == row[2] * given // wanted + (i < extra) for i, row in enumerate(ranked))
        _need(exact, "the margin is shared by cohort, in proportion, remainders by tie")
        left -= given


def _need(holds: bool, rule: str) -> None:
    if not holds:
        raise Breach(rule)
