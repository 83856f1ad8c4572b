"""The margin rule: who of those at the last price gets what is left.

Older cohort first. Inside a cohort in proportion, whole lots only; the lots
that rounding leaves over go to the largest remainders, then to the smallest tie.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from market.matching_engine.book import Ints


def share(quantity: Ints, cohort: Ints, tie: Sequence[bytes], available: int) -> Ints:
    """Share `available` lots (at most the sum of the quantities) over orders at one price."""
    fill = np.zeros(len(quantity), dtype=np.int64)
    for age in np.unique(cohort).tolist():
        rows = np.flatnonzero(cohort == age)
        wanted = int(quantity[rows].sum())
        if wanted > available:
            fill[rows] = pro_rata(quantity[rows].tolist(), available, [tie[row] for row in rows.tolist()])
            return fill
        fill[rows] = quantity[rows]
        available -= wanted
    assert available == 0, "the last level is never asked for more than it has"
    return fill


def pro_rata(quantities: Sequence[int], available: int, ties: Sequence[bytes]) -> list[int]:
    """floor(q x available / sum of q) each, and the rest one lot each by largest remainder, then smallest tie."""
    wanted = sum(quantities)
    parts = [divmod(quantity * available, wanted) for quantity in quantities]
    shares = [whole for whole, _ in parts]
    left_over = available - sum(shares)
    by_remainder = sorted(range(len(parts)), key=lambda row: (-parts[row][1], ties[row]))
    for row in by_remainder[:left_over]:
        shares[row] += 1
    return shares
