"""What goes into the engine and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
BID, OFFER = 0, 1
MAX_TOTAL = 2**62


class BookTooLarge(ValueError):
    """The quantities of one side add up to 2^62 or more."""

    code = "book_too_large"


@dataclass(frozen=True, slots=True)
class Book:
    """One plain book: parallel columns, one element an order, in any order.

    `side` is 0 for a bid and 1 for an offer. `price` is an integer multiple of
    `tick`; where `takes_any` is set it is ignored: such a bid pays, and such an
    offer takes, any price. `quantity` is in lots, above 0. A smaller `cohort` is
    older. `tie` is 32 bytes an order; among equals the smallest is served first.
    Bids are clipped to at most `collar_high`, offers to at least `collar_low`.
    """

    side: NDArray[np.int8]
    price: Ints
    quantity: Ints
    cohort: Ints
    tie: Sequence[bytes]
    collar_low: int | None = None
    collar_high: int | None = None
    tick: int = 1
    takes_any: Mask | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a book came to.

    `low` and `high` are the ends of the equilibrium interval, None where
    nothing bounds it; `price` is their floored midpoint in ticks. Nothing
    traded: no price, no interval. `fill` is parallel to the book, in lots.
    `welfare` is the sum of limit x fill of bids less that of offers, on the
    clipped limits; orders that take any price count as 0.
    """

    price: int | None
    low: int | None
    high: int | None
    volume: int
    fill: Ints
    welfare: int
    collar_hit: bool
