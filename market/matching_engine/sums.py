"""Exact integer sums over numpy columns, where a plain sum could wrap or lose digits."""

from __future__ import annotations

import numpy as np

from market.matching_engine.book import Ints

_HALF = 26
_EXACT_FLOAT = 2**53


def totals(cell: Ints, quantity: Ints, count: int) -> Ints:
    """Sum of the quantities of each cell.

    bincount adds in float64, which is exact below 2^53; larger quantities are
    added as two halves of 26 bits, exact for up to 2^27 orders below 2^52.
    """
    if len(quantity) * int(quantity.max()) < _EXACT_FLOAT:
        return np.bincount(cell, weights=quantity, minlength=count).astype(np.int64)
    low = np.bincount(cell, weights=quantity & ((1 << _HALF) - 1), minlength=count).astype(np.int64)
    high = np.bincount(cell, weights=quantity >> _HALF, minlength=count).astype(np.int64)
    return (high << _HALF) + low


def dot(a: Ints, b: Ints) -> int:
    """Sum of products, exact for any values."""
    if not len(a):
        return 0
    bound = max(abs(int(a.min())), abs(int(a.max()))) * max(abs(int(b.min())), abs(int(b.max()))) * len(a)
    if bound < 2**63:
        return int(np.dot(a, b))
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))
