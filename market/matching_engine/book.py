"""What goes into the engine and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
BID, OFFER = 0, 1
LARGEST_TOTAL = 2**62
LARGEST_PRICE = 2**61


class BookInvalid(ValueError):
    """The columns of a book do not fit together, or a value breaks what `Book` says of it."""

    code = "book_invalid"


class BookTooLarge(BookInvalid):
    """All quantities add up to 2^62 or more, or a price lies 2^61 or more from zero."""

    code = "book_too_large"


@dataclass(frozen=True, slots=True)
class Book:
    """One plain book: parallel columns, one element an order, in any order.

    `side` is 0 for a bid and 1 for an offer. `price` is an integer multiple of
    `tick`, below zero too; where `takes_any` is set it is ignored: such a bid pays,
    and such an offer takes, any price. `quantity` is in lots. A smaller `cohort` is
    older. `tie` is 32 bytes an order, no two alike; among equals the smallest is
    served first. Bids are clipped to at most `collar_high`, offers to at least
    `collar_low`, both multiples of the tick.
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

    `low` and `high` are the ends of the equilibrium interval, None where nothing
    bounds it; `price` is their floored midpoint in ticks, None where an end is
    missing (only orders that take any price, in a book without a collar, leave one
    open). Nothing traded: no price, no interval. `fill` is parallel to the book, in
    lots. `welfare` is the sum of limit x fill of bids less that of offers, on the
    clipped limits; where no limit and no collar stands it counts 0.
    """

    price: int | None
    low: int | None
    high: int | None
    volume: int
    fill: Ints
    welfare: int
    collar_hit: bool


def validate(book: Book) -> None:
    """Refuse what the engine could not clear exactly.

    :raises BookInvalid: see there; `BookTooLarge` for size.
    """
    columns = (book.side, book.price, book.quantity, book.cohort, book.tie, book.takes_any)
    if len({len(column) for column in columns if column is not None}) > 1:
        raise BookInvalid("The columns of a book differ in length.")
    ends = [end for end in (book.collar_low, book.collar_high) if end is not None]
    if book.tick < 1 or any(end % book.tick for end in ends) or ends != sorted(ends):
        raise BookInvalid(
            "A tick is at least 1, the collar is made of whole ticks, and its low end is not above the high."
        )
    if len(book.side) == 0:
        return
    if book.quantity.min() < 0:
        raise BookInvalid("A quantity is below zero.")
    named = book.price if book.takes_any is None else np.where(book.takes_any, 0, book.price)
    if any(abs(end) >= LARGEST_PRICE for end in (int(named.min()), int(named.max()), book.tick, *ends)):
        raise BookTooLarge("A price lies 2^61 or more from zero.")
    if book.tick > 1 and (named // book.tick * book.tick != named).any():
        raise BookInvalid("A price is not a multiple of the tick.")
    if total(book.quantity) >= LARGEST_TOTAL:
        raise BookTooLarge("The quantities add up to 2^62 or more.")


def clip(book: Book, price: Ints) -> Ints:
    """Prices of the book's orders as the collar lets them count: bids from above, offers from below."""
    is_bid = book.side == BID
    if book.collar_high is not None:
        price = np.where(is_bid, np.minimum(price, book.collar_high), price)
    if book.collar_low is not None:
        price = np.where(is_bid, price, np.maximum(price, book.collar_low))
    return price


def total(column: Ints) -> int:
    """The sum of values of at least 0, exact: the high and low halves of 31 bits are added apart."""
    if not len(column) or len(column) * int(column.max()) < LARGEST_TOTAL:
        return int(column.sum())
    return (int((column >> 31).sum()) << 31) + int((column & 0x7FFF_FFFF).sum())
