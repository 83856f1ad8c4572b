"""Which buyer gets which seller's tokens: the fills of a product become allocations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Row i: `quantity[i]` goes from offer `sell[i]` to bid `buy[i]` (positions in the inputs)."""

    buy: Ints
    sell: Ints
    quantity: Ints


def pair(buy_quantity: Ints, buy_tie: Sequence[bytes], sell_quantity: Ints, sell_tie: Sequence[bytes]) -> Pairs:
    """Walk both sides in the order of their tie keys, and cut at every end of a fill: at most n + m − 1 pairs.

    All quantities are above zero and both sides have the same sum. Source: docs/market-rules.md, "Allocations".
    """
    buys = np.array(sorted(range(len(buy_tie)), key=buy_tie.__getitem__), dtype=np.int64)
    sells = np.array(sorted(range(len(sell_tie)), key=sell_tie.__getitem__), dtype=np.int64)
    buy_ends, sell_ends = np.cumsum(buy_quantity[buys]), np.cumsum(sell_quantity[sells])
    if not len(buys) and not len(sells):
        return Pairs(buys, sells, buy_ends)
    assert buy_ends[-1] == sell_ends[-1], "bought = sold"
    ends = np.union1d(buy_ends, sell_ends)
    quantity = np.diff(ends, prepend=0)
    return Pairs(buys[np.searchsorted(buy_ends, ends)], sells[np.searchsorted(sell_ends, ends)], quantity)
