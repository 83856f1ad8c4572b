"""Books for the engine's tests, and the auction's rules once more in plain loops."""

from __future__ import annotations

from fractions import Fraction
from math import inf, isfinite
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from market.matching_engine import Book, Result

EXAMPLES = settings(max_examples=500, deadline=None)
BID, OFFER = 0, 1
Row = tuple[int, int | None, int, int]  # side, price (None: takes any), quantity, cohort


def book(rows: list[Row], **more: Any) -> Book:
    """A book of these rows; ties rise with the row unless given."""
    side, price, quantity, cohort = zip(*rows, strict=True) if rows else ((), (), (), ())
    if None in price:
        more["takes_any"] = np.array([one is None for one in price])
    return Book(
        np.array(side, dtype=np.int8),
        np.array([one or 0 for one in price], dtype=np.int64),
        np.array(quantity, dtype=np.int64),
        np.array(cohort, dtype=np.int64),
        more.pop("tie", [number.to_bytes(32) for number in range(len(rows))]),
        **more,
    )


def reference(count: int, *, cohorts: int = 1) -> Book:
    """The reference workload: alternating sides, prices ~ Normal(10000, 200) ticks, 1–100 lots, seed 42."""
    r = np.random.default_rng(42)
    side = (np.arange(count) % 2).astype(np.int8)
    price = np.clip(np.rint(r.normal(10000, 200, count)), 1, None).astype(np.int64)
    quantity = r.integers(1, 101, count)
    return Book(side, price, quantity, np.arange(count) % cohorts, [number.to_bytes(32) for number in range(count)])


def rows_of(*, prices: Any = None, most: int = 24, quantities: Any = None, cohorts: Any = None) -> Any:
    """Lists of rows, small enough for ties and crossings to be common."""
    return st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(1, 30) if prices is None else prices,
            st.integers(1, 40) if quantities is None else quantities,
            st.integers(0, 3) if cohorts is None else cohorts,
        ),
        max_size=most,
    )


def clipped(rows: list[Row], low: int | None = None, high: int | None = None) -> list[float | int]:
    """The limit of each row as it counts; infinite where it takes any price and no collar stands."""
    return [
        min(inf if price is None else price, inf if high is None else high)
        if side == BID
        else max(-inf if price is None else price, -inf if low is None else low)
        for side, price, _, _ in rows
    ]


def oracle(rows: list[Row], *, tick: int = 1, low: int | None = None, high: int | None = None) -> dict[str, Any]:
    """What the rules give: the best bid meets the best offer for as long as they cross; then shares, then the price."""
    limits = clipped(rows, low, high)
    volume = _most_volume(rows, limits)
    fills = [0] * len(rows)
    for side in (BID, OFFER):
        left = volume
        members = [i for i, row in enumerate(rows) if row[0] == side]
        rank = {i: (-limits[i] if side == BID else limits[i], rows[i][3]) for i in members}
        for level in sorted(set(rank.values())):
            left -= _pro_rata(rows, [i for i in members if rank[i] == level], left, fills)
    if not volume:
        return {"volume": 0, "fills": fills, "price": None, "low": None, "high": None, "welfare": 0}
    served = [[limits[i] for i, row in enumerate(rows) if row[0] == side and fills[i]] for side in (BID, OFFER)]
    still = [[limits[i] for i, row in enumerate(rows) if row[0] == side and fills[i] < row[2]] for side in (BID, OFFER)]
    bottom, top = max(served[OFFER] + still[BID]), min(served[BID] + still[OFFER])
    bounded = isfinite(bottom) and isfinite(top)
    return {
        "volume": volume,
        "fills": fills,
        "price": (int(bottom) + int(top)) // (2 * tick) * tick if bounded else None,
        "low": int(bottom) if isfinite(bottom) else None,
        "high": int(top) if isfinite(top) else None,
        "welfare": welfare(rows, limits, fills),
    }


def welfare(rows: list[Row], limits: list[float | int], fills: list[int]) -> int:
    """Limit x fill of bids less that of offers; a limit that does not exist counts 0."""
    return sum(
        (1 if row[0] == BID else -1) * int(limit) * fill
        for row, limit, fill in zip(rows, limits, fills, strict=True)
        if isfinite(limit)
    )


def said(result: Result) -> dict[str, Any]:
    """A result in the oracle's words."""
    return {"volume": result.volume, "fills": result.fill.tolist(), "price": result.price, "low": result.low,
            "high": result.high, "welfare": result.welfare}  # fmt: skip


def _most_volume(rows: list[Row], limits: list[float | int]) -> int:
    bids = sorted(([x, row[2]] for row, x in zip(rows, limits, strict=True) if row[0] == BID), key=lambda one: -one[0])
    offers = sorted(
        ([x, row[2]] for row, x in zip(rows, limits, strict=True) if row[0] == OFFER), key=lambda one: one[0]
    )
    volume = 0
    while bids and offers and bids[0][0] >= offers[0][0]:
        lots = min(bids[0][1], offers[0][1])
        volume += int(lots)
        for queue in (bids, offers):
            queue[0][1] -= lots
            if not queue[0][1]:
                queue.pop(0)
    return volume


def _pro_rata(rows: list[Row], group: list[int], left: int, fills: list[int]) -> int:
    wanted = sum(rows[i][2] for i in group)
    given = min(wanted, left)
    exact = {i: Fraction(rows[i][2] * given, wanted) for i in group}
    for i in group:
        fills[i] = int(exact[i])
    extra = given - sum(fills[i] for i in group)
    for i in sorted(group, key=lambda i: (-(exact[i] % 1), i))[:extra]:
        fills[i] += 1
    return given
