"""Clearing one plain book at one price, by a histogram over its prices.

Source: docs/market-rules.md. Among all outcomes in which everybody inside the
price is full and everybody outside has nothing, the one of most welfare, then
of most volume, then by the margin rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.matching_engine.book import BID, MAX_TOTAL, Book, BookTooLarge, Ints, Mask, Result
from market.matching_engine.margin import share
from market.matching_engine.sums import dot, totals

_DENSE = 4  # a histogram of up to this many cells an order costs less than sorting the prices


@dataclass(frozen=True, slots=True)
class _Levels:
    """Open quantity by price. `price` ascends; the first or last may stand for orders that take any price."""

    price: Ints
    bids: Ints
    offers: Ints
    lowest_is_any: bool
    highest_is_any: bool

    def text(self, index: int) -> int | None:
        """The price of a level; None where it stands for no limit."""
        any_price = (self.lowest_is_any and index == 0) or (self.highest_is_any and index == len(self.price) - 1)
        return None if any_price else int(self.price[index])


def clear(book: Book) -> Result:
    """Clear one book; the result does not depend on the order of its rows.

    :raises BookTooLarge: quantities of 2^62 and more.
    """
    is_bid = book.side == BID
    price, lowest_is_any, highest_is_any = _limits(book, is_bid)
    if not len(price) or is_bid.all() or not is_bid.any():
        return _nothing(book)
    levels = _levels(book, price, is_bid, lowest_is_any, highest_is_any)
    wanted = np.cumsum(levels.bids[::-1])[::-1]  # bids at this price or dearer
    offered = np.cumsum(levels.offers)  # offers at this price or cheaper
    volume = int(np.minimum(wanted, offered).max())
    if volume == 0:
        return _nothing(book)
    last_bid = len(wanted) - 1 - int(np.argmax(wanted[::-1] >= volume))  # the cheapest level that is served
    last_offer = int(np.argmax(offered >= volume))  # the dearest level that is served
    low, high = _interval(book, levels, wanted, offered, volume, last_bid, last_offer)
    clearing = _midpoint(low, high, book.tick)
    fill = _fills(book, price, is_bid, levels, wanted, offered, volume, last_bid, last_offer)
    return Result(
        price=clearing,
        low=low,
        high=high,
        volume=volume,
        fill=fill,
        welfare=_welfare(book, price, is_bid, fill),
        collar_hit=clearing is not None and clearing in {book.collar_low, book.collar_high},
    )


def _nothing(book: Book) -> Result:
    return Result(None, None, None, 0, np.zeros(len(book.side), dtype=np.int64), 0, collar_hit=False)


def _limits(book: Book, is_bid: Mask) -> tuple[Ints, bool, bool]:
    """Limits after clipping. Orders that take any price get the collar's bound, else a level beyond all others."""
    price = book.price
    anything = book.takes_any
    lowest_is_any = highest_is_any = False
    if anything is not None and anything.any():
        named = price[~anything]
        bottom, top = (int(named.min()), int(named.max())) if len(named) else (0, 0)
        floor = bottom - book.tick if book.collar_low is None else book.collar_low
        ceiling = top + book.tick if book.collar_high is None else book.collar_high
        price = np.where(anything, np.where(is_bid, ceiling, floor), price)
        lowest_is_any = book.collar_low is None and bool((anything & ~is_bid).any())
        highest_is_any = book.collar_high is None and bool((anything & is_bid).any())
    if book.collar_high is not None:
        price = np.where(is_bid, np.minimum(price, book.collar_high), price)
    if book.collar_low is not None:
        price = np.where(is_bid, price, np.maximum(price, book.collar_low))
    return price, lowest_is_any, highest_is_any


def _levels(book: Book, price: Ints, is_bid: Mask, lowest_is_any: bool, highest_is_any: bool) -> _Levels:
    bottom, top = int(price.min()), int(price.max())
    count = (top - bottom) // book.tick + 1
    if count <= max(_DENSE * len(price), 1024):
        cell = price - bottom if book.tick == 1 else (price - bottom) // book.tick
        values = np.arange(count, dtype=np.int64) * book.tick + bottom
    else:
        values, cell = np.unique(price, return_inverse=True)
        count = len(values)
    sums = totals(cell + np.where(is_bid, 0, count), book.quantity, 2 * count)
    bids, offers = sums[:count], sums[count:]
    if max(_exact(bids), _exact(offers)) >= MAX_TOTAL:
        raise BookTooLarge("The quantities of one side add up to 2^62 or more.")
    return _Levels(values, bids, offers, lowest_is_any, highest_is_any)


def _exact(column: Ints) -> int:
    """A sum that cannot wrap: the high and low halves apart."""
    return (int((column >> 31).sum()) << 31) + int((column & 0x7FFF_FFFF).sum())


def _interval(
    book: Book, levels: _Levels, wanted: Ints, offered: Ints, volume: int, last_bid: int, last_offer: int
) -> tuple[int | None, int | None]:
    """low: the dearest served offer or unserved bid; high: the cheapest served bid or unserved offer."""
    lows = [levels.text(last_offer)]
    if wanted[last_bid] > volume:
        lows.append(levels.text(last_bid))
    elif len(below := np.flatnonzero(levels.bids[:last_bid])):
        lows.append(levels.text(int(below[-1])))
    highs = [levels.text(last_bid)]
    if offered[last_offer] > volume:
        highs.append(levels.text(last_offer))
    elif len(above := np.flatnonzero(levels.offers[last_offer + 1 :])):
        highs.append(levels.text(last_offer + 1 + int(above[0])))
    low = max((value for value in lows if value is not None), default=book.collar_low)
    high = min((value for value in highs if value is not None), default=book.collar_high)
    return low, high


def _midpoint(low: int | None, high: int | None, tick: int) -> int | None:
    if low is None or high is None:
        return high if low is None else low
    return (low // tick + high // tick) // 2 * tick


def _fills(
    book: Book, price: Ints, is_bid: Mask, levels: _Levels, wanted: Ints, offered: Ints, volume: int,
    last_bid: int, last_offer: int,
) -> Ints:  # fmt: skip
    """Everybody better than the last level is full; the last level of each side shares what is left."""
    bid_price, offer_price = int(levels.price[last_bid]), int(levels.price[last_offer])
    inside = np.where(is_bid, price > bid_price, price < offer_price)
    fill = np.where(inside, book.quantity, 0)
    margins = (
        (is_bid & (price == bid_price), volume - int(wanted[last_bid] - levels.bids[last_bid])),
        (~is_bid & (price == offer_price), volume - int(offered[last_offer] - levels.offers[last_offer])),
    )
    for mask, rest in margins:
        rows = np.flatnonzero(mask)
        fill[rows] = share(book.quantity[rows], book.cohort[rows], [book.tie[row] for row in rows.tolist()], rest)
    return fill


def _welfare(book: Book, price: Ints, is_bid: Mask, fill: Ints) -> int:
    served = fill > 0 if book.takes_any is None else (fill > 0) & ~book.takes_any
    bids, offers = served & is_bid, served & ~is_bid
    return dot(price[bids], fill[bids]) - dot(price[offers], fill[offers])
