"""From a frozen book to everything that a round says: prices, fills, and who gets whose tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np

from market.kernel.freezing import BID, OFFER, Ints, Mask, Standing, left_out_deployments, self_trades
from market.kernel.levels import Level, cumulative, levels
from market.kernel.money import MILLION
from market.kernel.pairing import Pairs, pair
from market.kernel.seeds import leaves, root_of, ties_of
from market.matching_engine import Book, Result, clear
from market.selectors import FrozenBook, ProductView, Quote


@dataclass(frozen=True)
class Cleared:
    """What the engine said of one product; prices in micro-yuan per million ST, quantities in ST."""

    product: ProductView
    code: int
    quote: Quote
    price_micros: int | None
    low_micros: int | None
    high_micros: int | None
    volume_st: int
    welfare: int
    indicative_micros: int | None
    collar_hit: bool
    bids: int
    offers: int
    curve: dict[str, list[Level]]


@dataclass(frozen=True)
class Outcome:
    """All of one round. Columns follow the book's rows; `price` its products (0 where nothing traded)."""

    book: FrozenBook
    taking_part: Mask
    root: bytes
    fill: Ints
    ended: Mask
    price: Ints
    pairs: Pairs
    cleared: tuple[Cleared, ...]
    engine_micros: int

    def cost(self, rows: Ints, price: Ints, quantity: Ints) -> Ints:
        """Micro-yuan of quantities at prices; exact and within 63 bits: counted in ticks × lots."""
        return cost(self.book, rows, price, quantity)

    def hold_until(self, product: ProductView, grace_seconds: int) -> datetime:
        """When the hold of an allocation of this product is given back at the latest."""
        return product.window_end + timedelta(seconds=grace_seconds)


def cost(book: FrozenBook, rows: Ints, price: Ints, quantity: Ints) -> Ints:
    """See `Outcome.cost`; `rows` tell the products."""
    products = book.product[rows]
    tick = np.array([product.tick_micros for product in book.products] or [1], dtype=np.int64)
    lot = np.array([product.lot_st for product in book.products] or [1], dtype=np.int64)
    value = tick * lot // MILLION
    total: Ints = (price // tick[products]) * (quantity // lot[products]) * value[products]
    return total


def clear_book(
    book: FrozenBook,
    quotes: Mapping[UUID, Quote],
    *,
    seed: bytes,
    standing: Sequence[Standing],
    pinned: dict[bytes, bytes],
) -> Outcome:
    """Clear every product that has bids and offers. The same inputs give the same outcome."""
    taking_part = _taking_part(book, seed, standing, pinned)
    leaf = leaves(book.order, book.side, book.limit, book.available, book.cohort, seed=seed)
    root = root_of(leaf)
    tie = ties_of(seed, root, leaf)
    fill = np.zeros(len(book), dtype=np.int64)
    price = np.zeros(len(book.products), dtype=np.int64)
    cleared: list[Cleared] = []
    pairs: list[Pairs] = []
    spent = 0
    for code, rows in _by_product(book, taking_part):
        product = book.products[code]
        began = time.perf_counter_ns()
        result = clear(_engine_book(book, rows, product, quotes[product.id], tie))
        spent += time.perf_counter_ns() - began
        fill[rows] = result.fill * product.lot_st
        price[code] = result.price or 0
        cleared.append(_cleared(book, rows, code, quotes[product.id], result))
        if result.volume:
            pairs.append(_pairs(book, rows, fill, tie))
    return Outcome(
        book=book,
        taking_part=taking_part,
        root=root,
        fill=fill,
        ended=book.next_round_only & (fill < book.left),
        price=price,
        pairs=_joined(pairs),
        cleared=tuple(cleared),
        engine_micros=spent // 1000,
    )


def _taking_part(book: FrozenBook, seed: bytes, standing: Sequence[Standing], pinned: dict[bytes, bytes]) -> Mask:
    out = self_trades(book.side, book.product, book.owner_codes, book.limit, book.sequence)
    for one in left_out_deployments(standing, pinned=pinned, seed=seed):
        out |= (book.deployment == np.frombuffer(one.deployment, dtype="V16")[0]) & _in_group(book, one)
    return (book.available > 0) & ~out


def _in_group(book: FrozenBook, one: Standing) -> Mask:
    """Offers in the window of a group; groups of other windows keep the deployment."""
    here = np.array([product.window_start.isoformat().encode() == one.group[16:] for product in book.products])
    return here[book.product]


def _by_product(book: FrozenBook, taking_part: Mask) -> list[tuple[int, Ints]]:
    """The rows of each product that has both sides."""
    rows = np.flatnonzero(taking_part)
    codes = book.product[rows]
    both = np.intersect1d(codes[book.side[rows] == BID], codes[book.side[rows] == OFFER])
    rows = rows[np.isin(codes, both)]
    rows = rows[np.argsort(book.product[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(book.product[rows])) + 1)
    return [(int(book.product[part[0]]), part) for part in parts if len(part)]


def _engine_book(book: FrozenBook, rows: Ints, product: ProductView, quote: Quote, tie: Sequence[bytes]) -> Book:
    return Book(
        side=book.side[rows].astype(np.int8),
        price=book.limit[rows],
        quantity=book.available[rows] // product.lot_st,
        cohort=book.cohort[rows],
        tie=[tie[row] for row in rows.tolist()],
        collar_low=quote.collar.low if quote.collar else None,
        collar_high=quote.collar.high if quote.collar else None,
        tick=product.tick_micros,
    )


def _cleared(book: FrozenBook, rows: Ints, code: int, quote: Quote, result: Result) -> Cleared:
    product = book.products[code]
    side = book.side[rows]
    bids, offers = rows[side == BID], rows[side == OFFER]
    best_bid, best_offer = int(book.limit[bids].max()), int(book.limit[offers].min())
    middle = (best_bid + best_offer) // (2 * product.tick_micros) * product.tick_micros
    return Cleared(
        product=product,
        code=code,
        quote=quote,
        price_micros=result.price if result.volume else None,
        low_micros=result.low,
        high_micros=result.high,
        volume_st=result.volume * product.lot_st,
        welfare=result.welfare * product.lot_st,
        indicative_micros=None if result.volume else middle,
        collar_hit=result.collar_hit,
        bids=len(bids),
        offers=len(offers),
        curve=curve(book, bids, offers) if result.volume else {},
    )


def curve(book: FrozenBook, bids: Ints, offers: Ints) -> dict[str, list[Level]]:
    """Supply and demand as (price, cumulative ST), best first."""
    return {
        "demand": cumulative(levels(book.limit[bids], book.available[bids], best_high=True)),
        "supply": cumulative(levels(book.limit[offers], book.available[offers], best_high=False)),
    }


def _pairs(book: FrozenBook, rows: Ints, fill: Ints, tie: Sequence[bytes]) -> Pairs:
    filled = rows[fill[rows] > 0]
    bids, offers = filled[book.side[filled] == BID], filled[book.side[filled] == OFFER]
    found = pair(fill[bids], [tie[row] for row in bids.tolist()], fill[offers], [tie[row] for row in offers.tolist()])
    return Pairs(bids[found.buy], offers[found.sell], found.quantity)


def _joined(pairs: Sequence[Pairs]) -> Pairs:
    if not pairs:
        none = np.zeros(0, dtype=np.int64)
        return Pairs(none, none, none)
    return Pairs(
        np.concatenate([one.buy for one in pairs]),
        np.concatenate([one.sell for one in pairs]),
        np.concatenate([one.quantity for one in pairs]),
    )
