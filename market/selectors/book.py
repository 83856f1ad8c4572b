"""Depth and curves of one product's open orders, never with identities."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from django.db import connection

from market.kernel.freezing import BID, OFFER
from market.kernel.levels import Level, cumulative, levels
from market.selectors.catalogue import ProductView
from market.selectors.frozen import frozen_book
from market.selectors.offered import offered

LADDER = 10


@dataclass(frozen=True)
class DepthLevel:
    """Open ST at one price (micro-yuan per million ST), and whether an order of the reader's own stands there."""

    price_micros: int
    quantity_st: int
    own: bool


@dataclass(frozen=True)
class Depth:
    """The best levels of both sides, best first, and all that is open."""

    bids: list[DepthLevel]
    offers: list[DepthLevel]
    bid_st: int
    offer_st: int

    @property
    def best_bid_micros(self) -> int | None:
        """The dearest open bid."""
        return self.bids[0].price_micros if self.bids else None

    @property
    def best_offer_micros(self) -> int | None:
        """The cheapest open offer."""
        return self.offers[0].price_micros if self.offers else None


def depth(product: ProductView, *, now: datetime, count: int = LADDER, organisation_id: UUID | None = None) -> Depth:
    """The best `count` levels of a product; those with an own order are marked for that organisation only.

    Offers are those that a bid reaches which says nothing of data terms.
    """
    book = frozen_book(product.market_id, now=now, product_ids=[product.id])
    mine = np.array([one.tobytes() == organisation_id.bytes for one in book.owner]) if organisation_id else None
    sides = []
    for side in (BID, OFFER):
        rows = (book.side == side) & ((side == BID) | book.strict)
        own = set(book.limit[rows & mine].tolist()) if mine is not None and len(mine) else set()
        steps = levels(book.limit[rows], book.available[rows], best_high=side == BID)
        sides.append(
            ([DepthLevel(price, size, price in own) for price, size in steps[:count]], sum(q for _, q in steps))
        )
    (bids, bid_st), (offers, offer_st) = sides
    return Depth(bids, offers, bid_st, offer_st)


def book_curve(product: ProductView, *, now: datetime) -> tuple[list[Level], list[Level]]:
    """Demand and supply as (price, cumulative ST), best first."""
    book = frozen_book(product.market_id, now=now, product_ids=[product.id])
    bids, offers = book.side == BID, (book.side == OFFER) & book.strict
    return (
        cumulative(levels(book.limit[bids], book.available[bids], best_high=True)),
        cumulative(levels(book.limit[offers], book.available[offers], best_high=False)),
    )


@dataclass(frozen=True)
class Top:
    """The best open prices of a product (micro-yuan per million ST), and the ST open on each side."""

    bid_micros: int | None
    bid_st: int
    offer_micros: int | None
    offer_st: int


def tops(products: Collection[ProductView], *, now: datetime) -> dict[UUID, Top]:
    """The best prices of those products that have open orders; offers as `depth` shows them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT product_id, max(limit_micros), sum(quantity_left_st)::bigint FROM market_book "
            "WHERE side = 0 AND product_id = ANY(%s) AND expires_at > %s GROUP BY product_id",
            [[one.id for one in products], now],
        )
        bids = {product_id: (price, quantity) for product_id, price, quantity in cursor.fetchall()}
    offers = offered(products, now=now)
    return {one: Top(*bids.get(one, (None, 0)), *offers.get(one, (None, 0))) for one in bids.keys() | offers.keys()}
