"""Reads of rounds and their prices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from market.kernel.errors import NotFound
from market.models import Round, RoundPrice
from market.selectors.catalogue import ProductView, products_many


@dataclass(frozen=True)
class RoundView:
    """One cleared round. `commitment`, `seed`, `root`: hexadecimal."""

    id: UUID
    number: int
    state: str
    commitment: str
    seed: str
    root: str
    opened_at: datetime
    closed_at: datetime
    cleared_at: datetime
    orders: int
    products: int
    fills: int
    volume_st: int
    engine_micros: int


@dataclass(frozen=True)
class RoundPriceView:
    """What one round said of one product; prices in micro-yuan per million ST.

    `low_micros` and `high_micros` are the ends of the clearing interval; the price is its floored midpoint.
    """

    product: ProductView
    number: int
    closed_at: datetime
    price_micros: int | None
    low_micros: int | None
    high_micros: int | None
    volume_st: int
    welfare: int
    indicative_micros: int | None
    collar_low_micros: int | None
    collar_high_micros: int | None
    collar_hit: bool
    collar_bps: int
    bids: int
    offers: int
    curve: dict[str, Any]


def round(number: int, *, market_id: UUID) -> RoundView:
    """One cleared round by its number.

    :raises NotFound: it is not cleared, or was never held.
    """
    row = Round.objects.filter(market_id=market_id, number=number, state=Round.State.CLEARED).first()
    if row is None:
        raise NotFound("There is no such round.")
    return _round(row)


def recent_rounds(market_id: UUID, *, before: int | None = None, limit: int = 20) -> list[RoundView]:
    """The last cleared rounds, newest first."""
    rows = Round.objects.filter(market_id=market_id, state=Round.State.CLEARED)
    if before is not None:
        rows = rows.filter(number__lt=before)
    return [_round(row) for row in rows.order_by("-number")[:limit]]


def round_prices(round_id: UUID) -> list[RoundPriceView]:
    """What a round said of its products: those that traded first, by volume."""
    return _prices(RoundPrice.objects.filter(round_id=round_id).order_by("-volume_st", "product_id"))


def price_history(product_id: UUID, *, limit: int = 60, traded_only: bool = False) -> list[RoundPriceView]:
    """The last rounds of one product, newest first."""
    rows = RoundPrice.objects.filter(product_id=product_id)
    if traded_only:
        rows = rows.filter(volume_st__gt=0)
    return _prices(rows.order_by("-number")[:limit])


def _prices(rows: Any) -> list[RoundPriceView]:
    found = list(rows.select_related("round"))
    products = products_many({row.product_id for row in found})
    names = RoundPriceView.__dataclass_fields__.keys() - {"product", "closed_at", "welfare"}
    return [
        RoundPriceView(
            product=products[row.product_id],
            closed_at=row.round.closed_at,
            welfare=int(row.welfare),
            **{name: getattr(row, name) for name in names},
        )
        for row in found
    ]


def _round(row: Round) -> RoundView:
    assert row.seed is not None and row.root is not None and row.closed_at and row.cleared_at
    return RoundView(
        id=row.id,
        number=row.number,
        state=row.state,
        commitment=bytes(row.seed_commitment).hex(),
        seed=bytes(row.seed).hex(),
        root=bytes(row.root).hex(),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        cleared_at=row.cleared_at,
        orders=row.orders,
        products=row.products,
        fills=row.fills,
        volume_st=row.volume_st,
        engine_micros=row.engine_micros,
    )
