"""The margin rule: who of those at the last price gets what is left.

Older cohort first. Inside a cohort in proportion, whole lots only; the lots
that rounding leaves over go to the largest remainders, then to the smallest tie.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from market.matching_engine.book import Ints

_INT64_END = 2**63


def share(quantity: Ints, cohort: Ints, tie: Sequence[bytes], rows: Ints, available: int) -> Ints:
    """What each of the `rows` (positions in the columns) gets of `available` lots, at most the sum of what they want.

    One sort by age, so that many small cohorts cost no more than a large one.
    """
    wants, ages = quantity[rows], cohort[rows]
    by_age = np.argsort(ages)
    served = np.cumsum(wants[by_age])
    last = int(np.searchsorted(served, available, side="right"))  # the first that is not served in full, by age
    if last == len(rows):
        assert served[-1] == available, "the last level is never asked for more than it has"
        return wants
    age = ages[by_age[last]]
    fill = np.where(ages < age, wants, 0)
    torn = np.flatnonzero(ages == age)
    fill[torn] = pro_rata(wants[torn], available - int(fill.sum()), tie, rows[torn])
    return fill


def pro_rata(wants: Ints, available: int, tie: Sequence[bytes], rows: Ints) -> Ints:
    """floor(want x available / sum of wants) each; the rest one lot each by largest remainder, then smallest tie.

    `rows` tells where the tie of each is; only those that share the last remainder served are looked up.
    """
    wanted = int(wants.sum())
    if int(wants.max()) * available < _INT64_END:
        shares, remainders = np.divmod(wants * available, wanted)
    else:
        parts = [divmod(want * available, wanted) for want in wants.tolist()]
        shares, remainders = np.array(parts, dtype=np.int64).T.copy()
    left_over = available - int(shares.sum())
    if left_over:
        last = np.partition(remainders, -left_over)[-left_over]
        larger = remainders > last
        shares += larger
        equal = sorted(np.flatnonzero(remainders == last).tolist(), key=lambda at: tie[int(rows[at])])
        shares[equal[: left_over - int(np.count_nonzero(larger))]] += 1
    return shares
