"""Depth and curves of one product's open orders, never with identities."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from django.db import connection

from market.kernel.freezing import BID, OFFER, Ints, Mask
from market.kernel.levels import Level, cumulative, levels
from market.selectors.catalogue import ProductView
from market.selectors.frozen import frozen_book
from market.selectors.halts import stopped
from market.selectors.offered import offered

LADDER = 10


# Of a product's bids those that name several products, with the limit they have in this one. They stand in the book
# under the product of their highest limit.
_FLEXIBLE = """
    SELECT b.order_id, b.organisation_id, c.limit_micros, b.quantity_left_st
    FROM market_orderchoice c JOIN market_book b ON b.order_id = c.order_id
    WHERE c.product_id = %s AND b.expires_at > %s AND b.organisation_id <> ALL(%s::uuid[])
"""


@dataclass(frozen=True)
class DepthLevel:
    """Open ST at one price (micro-yuan per million ST), and whether an order of the reader's own stands there.

    `flexible_st` of it belong to bids that accept other products too, and fill in one of them only.
    """

    price_micros: int
    quantity_st: int
    own: bool
    flexible_st: int = 0


@dataclass(frozen=True)
class Depth:
    """The best levels of both sides, best first, and all that is open; `flexible_st` of the bids may trade elsewhere."""

    bids: list[DepthLevel]
    offers: list[DepthLevel]
    bid_st: int
    offer_st: int
    flexible_st: int

    @property
    def best_bid_micros(self) -> int | None:
        """The dearest open bid."""
        return self.bids[0].price_micros if self.bids else None

    @property
    def best_offer_micros(self) -> int | None:
        """The cheapest open offer."""
        return self.offers[0].price_micros if self.offers else None


@dataclass(frozen=True)
class _Open:
    """Open orders of one side of a product; `flexible` marks bids that name other products too."""

    price: Ints
    quantity: Ints
    own: Mask
    flexible: Mask


def depth(product: ProductView, *, now: datetime, count: int = LADDER, organisation_id: UUID | None = None) -> Depth:
    """The best `count` levels of a product; those with an own order are marked for that organisation only.

    Offers are those that a bid reaches which says nothing of data terms. A bid that accepts several products stands in
    each of them with all that is open of it.
    """
    bids, offers = _open(product, now=now, organisation_id=organisation_id)
    return Depth(
        _levels(bids, best_high=True)[:count],
        _levels(offers, best_high=False)[:count],
        int(bids.quantity.sum()),
        int(offers.quantity.sum()),
        int(bids.quantity[bids.flexible].sum()),
    )


def book_curve(product: ProductView, *, now: datetime) -> tuple[list[Level], list[Level]]:
    """Demand and supply as (price, cumulative ST), best first; bids as `depth` shows them."""
    bids, offers = _open(product, now=now)
    return (
        cumulative(levels(bids.price, bids.quantity, best_high=True)),
        cumulative(levels(offers.price, offers.quantity, best_high=False)),
    )


def _open(product: ProductView, *, now: datetime, organisation_id: UUID | None = None) -> tuple[_Open, _Open]:
    book = frozen_book(product.market_id, now=now, product_ids=[product.id])
    out = stopped(now=now)
    with connection.cursor() as cursor:
        cursor.execute(_FLEXIBLE, [product.id, now, out.organisation_ids])
        flexible = [] if product.id in out.product_ids else cursor.fetchall()
    named = {order.bytes for order, *_ in flexible}
    own_bytes = organisation_id.bytes if organisation_id else b""
    mine = np.array([one.tobytes() == own_bytes for one in book.owner], dtype=np.bool_)
    plain = (book.side == BID) & np.array([one.tobytes() not in named for one in book.order], dtype=np.bool_)
    plain &= book.product == next((code for code, one in enumerate(book.products) if one.id == product.id), -1)
    offers = (book.side == OFFER) & book.strict
    bids = _Open(
        np.concatenate([book.limit[plain], np.array([limit for *_, limit, _ in flexible], dtype=np.int64)]),
        np.concatenate([book.available[plain], np.array([left for *_, left in flexible], dtype=np.int64)]),
        np.concatenate([mine[plain], np.array([one == organisation_id for _, one, *_ in flexible], dtype=np.bool_)]),
        np.repeat(np.array([False, True]), [int(plain.sum()), len(flexible)]),
    )
    return bids, _Open(
        book.limit[offers], book.available[offers], mine[offers], np.zeros(int(offers.sum()), dtype=np.bool_)
    )


def _levels(side: _Open, *, best_high: bool) -> list[DepthLevel]:
    own = set(side.price[side.own & (side.quantity > 0)].tolist())
    flexible = dict(levels(side.price[side.flexible], side.quantity[side.flexible], best_high=best_high))
    return [
        DepthLevel(price, quantity, price in own, flexible.get(price, 0))
        for price, quantity in levels(side.price, side.quantity, best_high=best_high)
    ]


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
            "SELECT product_id, max(limit_micros), sum(quantity_left_st)::bigint FROM ("
            "SELECT b.product_id, b.limit_micros, b.quantity_left_st FROM market_book b WHERE b.side = 0 "
            "AND b.product_id = ANY(%s) AND b.expires_at > %s "
            "AND NOT EXISTS (SELECT FROM market_orderchoice c WHERE c.order_id = b.order_id) UNION ALL "
            "SELECT c.product_id, c.limit_micros, b.quantity_left_st FROM market_orderchoice c "
            "JOIN market_book b ON b.order_id = c.order_id WHERE c.product_id = ANY(%s) AND b.expires_at > %s"
            ") AS open GROUP BY product_id",
            [[one.id for one in products], now] * 2,
        )
        bids = {product_id: (price, quantity) for product_id, price, quantity in cursor.fetchall()}
    offers = offered(products, now=now)
    return {one: Top(*bids.get(one, (None, 0)), *offers.get(one, (None, 0))) for one in bids.keys() | offers.keys()}
