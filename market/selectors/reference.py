"""The reference price of a product, and the collar around it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from market.kernel import collar
from market.selectors.catalogue import ListPriceView, ProductView, list_prices

_TRADED = """
    SELECT p.id, traded.prices, traded.volumes, traded.last, latest.collar_bps, latest.collar_hits, latest.collar_hit
    FROM unnest(%s::uuid[]) AS p (id)
    LEFT JOIN LATERAL (
        SELECT array_agg(price_micros ORDER BY number DESC) AS prices,
            array_agg(volume_st ORDER BY number DESC) AS volumes, max(number) AS last FROM (
            SELECT price_micros, volume_st, number FROM market_roundprice
            WHERE product_id = p.id AND volume_st > 0 ORDER BY number DESC LIMIT %s
        ) AS newest
    ) AS traded ON true
    LEFT JOIN LATERAL (
        SELECT collar_bps, collar_hits, collar_hit FROM market_roundprice
        WHERE product_id = p.id ORDER BY number DESC LIMIT 1
    ) AS latest ON true
"""


@dataclass(frozen=True)
class Quote:
    """What is known of a product's price: last trade, reference, and the collar for the next round.

    `reference_micros` is the volume-weighted price of the last 12 rounds that traded, else the list price.
    """

    last_price_micros: int | None
    last_round: int | None
    reference_micros: int | None
    list_price: ListPriceView | None
    band: collar.Band
    collar: collar.Collar | None


def quotes(products: Collection[ProductView], *, now: datetime) -> dict[UUID, Quote]:
    """Quotes by product id."""
    lists = list_prices([(one.line, one.grade) for one in products], at=now)
    by_id = {one.id: one for one in products}
    with connection.cursor() as cursor:
        cursor.execute(_TRADED, [list(by_id), collar.ROUNDS])
        rows = cursor.fetchall()
    return {row[0]: _quote(by_id[row[0]], row, lists.get((by_id[row[0]].line, by_id[row[0]].grade))) for row in rows}


def quote(product: ProductView, *, now: datetime) -> Quote:
    """The quote of one product."""
    return quotes([product], now=now)[product.id]


def _quote(product: ProductView, row: tuple, listed: ListPriceView | None) -> Quote:  # type: ignore[type-arg]
    _, prices, volumes, number, bps, hits, hit = row
    traded = collar.reference(zip(prices or (), volumes or (), strict=True))
    reference = traded if traded is not None else (listed.price_micros if listed else None)
    band = collar.Band() if bps is None else collar.Band(bps, hits).after(hit=hit)
    around = None if reference is None else collar.collar(reference, tick=product.tick_micros, bps=band.bps)
    return Quote(
        last_price_micros=prices[0] if prices else None,
        last_round=number,
        reference_micros=reference,
        list_price=listed,
        band=band,
        collar=around,
    )
