"""Clearing one plain book at one price, by a histogram over its prices.

Source: docs/market-rules.md. Among all outcomes in which everybody inside the
price is full and everybody outside has nothing, the one of most welfare, then
of most volume, then by the margin rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.matching_engine.book import BID, Book, Ints, Mask, Result, clip, validate
from market.matching_engine.margin import share

_DENSE = 4  # a histogram of up to this many levels an order costs less than sorting the prices
_INT64_END = 2**63


@dataclass(frozen=True, slots=True)
class _Limits:
    """Clipped limits, and the two that stand for no limit: below and above all others (None where none is needed)."""

    price: Ints
    lowest: int | None
    highest: int | None

    def named(self, price: int) -> int | None:
        """The price; None where it stands for no limit."""
        return None if price in {self.lowest, self.highest} else price


@dataclass(frozen=True, slots=True)
class _Levels:
    """Open quantity by price, ascending."""

    price: Ints
    bids: Ints
    offers: Ints


@dataclass(frozen=True, slots=True)
class _Crossing:
    """What trades, the last level served of each side, and what that level gets."""

    volume: int
    bid_level: int
    bid_rest: int
    offer_level: int
    offer_rest: int


def clear(book: Book) -> Result:
    """Clear one book; the result does not depend on the order of its rows.

    :raises BookInvalid: the book is not what `Book` says; `BookTooLarge` beyond its bounds.
    """
    validate(book)
    is_bid = book.side == BID
    crossing = None
    if 0 < np.count_nonzero(is_bid) < len(is_bid):
        limits = _limits(book, is_bid)
        levels = _levels(book, limits.price)
        crossing = _crossing(levels)
    if crossing is None:
        return Result(None, None, None, 0, np.zeros(len(book.side), dtype=np.int64), 0, collar_hit=False)
    low, high = (limits.named(end) for end in _interval(levels, crossing))
    price = None if low is None or high is None else (low // book.tick + high // book.tick) // 2 * book.tick
    fill = _fills(book, limits.price, is_bid, levels, crossing)
    return Result(
        price=price,
        low=low,
        high=high,
        volume=crossing.volume,
        fill=fill,
        welfare=_welfare(limits, is_bid, fill, crossing.volume),
        collar_hit=price is not None and price in {book.collar_low, book.collar_high},
    )


def _limits(book: Book, is_bid: Mask) -> _Limits:
    price, lowest, highest = book.price, None, None
    if book.takes_any is not None and book.takes_any.any():
        # Clipping leaves no price outside of these.
        named = [end for end in (book.collar_low, book.collar_high) if end is not None]
        if not book.takes_any.all():
            kept = price[~book.takes_any]
            named += [int(kept.min()), int(kept.max())]
        takes, pays = min(named, default=0) - book.tick, max(named, default=0) + book.tick
        price = np.where(book.takes_any, np.where(is_bid, pays, takes), price)
        lowest = takes if book.collar_low is None else None
        highest = pays if book.collar_high is None else None
    return _Limits(clip(book, price), lowest, highest)


def _levels(book: Book, price: Ints) -> _Levels:
    bottom, top = int(price.min()), int(price.max())
    count = (top - bottom) // book.tick + 1
    if count <= max(_DENSE * len(price), 1024):
        level = price - bottom if book.tick == 1 else (price - bottom) // book.tick
        values = np.arange(count, dtype=np.int64) * book.tick + bottom
    else:
        values, level = np.unique(price, return_inverse=True)
        count = len(values)
    sums = np.zeros(2 * count, dtype=np.int64)
    np.add.at(sums, level + (book.side != BID) * count, book.quantity)  # cannot wrap: see validate
    return _Levels(values, sums[:count], sums[count:])


def _crossing(levels: _Levels) -> _Crossing | None:
    wanted = np.cumsum(levels.bids[::-1])[::-1]  # bids at this price or dearer
    offered = np.cumsum(levels.offers)  # offers at this price or cheaper
    volume = int(np.minimum(wanted, offered).max())
    if volume == 0:
        return None
    bid = len(wanted) - 1 - int(np.argmax(wanted[::-1] >= volume))
    offer = int(np.argmax(offered >= volume))
    return _Crossing(
        volume=volume,
        bid_level=bid,
        bid_rest=volume - int(wanted[bid] - levels.bids[bid]),
        offer_level=offer,
        offer_rest=volume - int(offered[offer] - levels.offers[offer]),
    )


def _interval(levels: _Levels, at: _Crossing) -> tuple[int, int]:
    """low: the dearest served offer or unserved bid; high: the cheapest served bid or unserved offer."""
    open_bids = np.flatnonzero(levels.bids[: at.bid_level + (levels.bids[at.bid_level] > at.bid_rest)])
    start = at.offer_level + (levels.offers[at.offer_level] == at.offer_rest)
    open_offers = start + np.flatnonzero(levels.offers[start:])
    low, high = levels.price[at.offer_level], levels.price[at.bid_level]
    if len(open_bids):
        low = max(low, levels.price[open_bids[-1]])
    if len(open_offers):
        high = min(high, levels.price[open_offers[0]])
    return int(low), int(high)


def _fills(book: Book, price: Ints, is_bid: Mask, levels: _Levels, at: _Crossing) -> Ints:
    """Everybody better than the last level is full; the last level of each side shares what is left."""
    bid_price, offer_price = levels.price[at.bid_level], levels.price[at.offer_level]
    fill = np.where(np.where(is_bid, price > bid_price, price < offer_price), book.quantity, 0)
    for mask, rest in (
        (is_bid & (price == bid_price), at.bid_rest),
        (~is_bid & (price == offer_price), at.offer_rest),
    ):
        rows = np.flatnonzero(mask)
        fill[rows] = share(book.quantity, book.cohort, book.tie, rows, rest)
    return fill


def _welfare(limits: _Limits, is_bid: Mask, fill: Ints, volume: int) -> int:
    worth = np.where(is_bid, limits.price, -limits.price)
    for unlimited in (limits.lowest, limits.highest):
        if unlimited is not None:
            worth[limits.price == unlimited] = 0
    largest = max(-int(worth.min()), int(worth.max()))
    if largest * 2 * volume < _INT64_END:
        return int(np.dot(worth, fill))
    served = np.flatnonzero(fill)
    return sum(limit * lots for limit, lots in zip(worth[served].tolist(), fill[served].tolist(), strict=True))
