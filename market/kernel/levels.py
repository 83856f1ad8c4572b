"""Open quantity by price."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Level = tuple[int, int]

CURVE_LEVELS = 80


def levels(price: Ints, quantity: Ints, *, best_high: bool) -> list[Level]:
    """(price, quantity) of every price, best first: the highest for bids, the lowest for offers."""
    open_rows = quantity > 0
    prices, row = np.unique(price[open_rows], return_inverse=True)
    sums = np.zeros(len(prices), dtype=np.int64)
    np.add.at(sums, row, quantity[open_rows])
    pairs = list(zip(prices.tolist(), sums.tolist(), strict=True))
    return pairs[::-1] if best_high else pairs


def cumulative(steps: Sequence[Level], *, most: int = CURVE_LEVELS) -> list[Level]:
    """(price, quantity up to and including this price), best first, thinned evenly to at most `most` points.

    A thinned curve keeps its first and last point, and every point it keeps is exact.
    """
    total, points = 0, []
    for price, quantity in steps:
        total += quantity
        points.append((price, total))
    if len(points) <= most:
        return points
    return [points[round(at * (len(points) - 1) / (most - 1))] for at in range(most)]
