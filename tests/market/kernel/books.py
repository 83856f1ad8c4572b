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
    """What the rules give: the best bid meets the best offer, as long as they cross; then shares and the price."""
    limits = clipped(rows, low, high)
    fills = [0] * len(rows)
    volume = _volume(rows, limits)
    for side in (BID, OFFER):
        left = volume
        ranks = sorted({(-x if side == BID else x, row[3]) for row, x in zip(rows, limits, strict=True) if row[0] == side})
        for rank in ranks:
            group = [i for i, row in enumerate(rows)
                     if row[0] == side and (-limits[i] if side == BID else limits[i], row[3]) == rank]  # fmt: skip
            left -= _pro_rata(rows, group, left, fills)
    if not volume:
        return {"volume": 0, "fills": fills, "price": None, "low": None, "high": None, "welfare": 0}
    bottom = max(x for x, row, fill in zip(limits, rows, fills, strict=True)
                 if (row[0] == OFFER and fill) or (row[0] == BID and fill < row[2]))  if _any_low(rows, fills) else -inf  # fmt: skip
    top = min(x for x, row, fill in zip(limits, rows, fills, strict=True)
              if (row[0] == BID and fill) or (row[0] == OFFER and fill < row[2]))  # fmt: skip
    ends = [int(end) if isfinite(end) else None for end in (bottom, top)]
    middle = None if None in ends else (bottom // tick + top // tick) // 2 * tick
    return {"volume": volume, "fills": fills, "price": middle, "low": ends[0], "high": ends[1],
            "welfare": welfare(rows, limits, fills)}  # fmt: skip
