"""What was traded, and at which prices: trades and bars of a product, the index of a line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from market.kernel import bars as kernel
from market.kernel import windows
from market.kernel.bars import Bar, IndexPoint, Trade, Turnover
from market.models import RoundPrice
from market.selectors import catalogue

# Products of windows that may be traded in a span: those are never further ahead than this.
_AHEAD = (windows.WINDOWS_AHEAD + 1) * windows.WINDOW

_TURNOVERS = """
    SELECT r.closed_at, sum(p.price_micros::numeric * p.volume_st), sum(p.volume_st)
    FROM market_product d JOIN market_roundprice p ON p.product_id = d.id AND p.volume_st > 0
    JOIN market_round r ON r.id = p.round_id
    WHERE d.market_id = %s AND d.line_id = %s AND d.grade = %s AND d.window_end > %s AND d.window_start < %s
        AND r.closed_at >= %s AND r.closed_at < %s
    GROUP BY r.id ORDER BY r.number
"""

_VOLUMES = """
    SELECT d.window_start, p.price_micros, sum(p.volume_st)::bigint
    FROM market_product d JOIN market_roundprice p ON p.product_id = d.id AND p.volume_st > 0
    JOIN market_round r ON r.id = p.round_id
    WHERE d.market_id = %s AND d.line_id = %s AND d.grade = %s AND d.window_start = ANY(%s)
        AND r.closed_at >= %s AND r.closed_at < %s
    GROUP BY d.window_start, p.price_micros ORDER BY d.window_start, p.price_micros
"""


@dataclass(frozen=True)
class TradeView:
    """A round in which a product traded; micro-yuan per million ST."""

    number: int
    at: datetime
    price_micros: int
    volume_st: int


def trades(product_id: UUID, *, before: int | None = None, limit: int = 50) -> list[TradeView]:
    """The rounds in which a product traded, newest first; `before` is a round's number."""
    rows = RoundPrice.objects.filter(product_id=product_id, volume_st__gt=0)
    if before is not None:
        rows = rows.filter(number__lt=before)
    found = rows.order_by("-number").values_list("number", "round__closed_at", "price_micros", "volume_st")[:limit]
    return [TradeView(*row) for row in found]  # type: ignore[arg-type]  # a cleared round has closed, at a price


def bars(product_id: UUID, *, interval: timedelta, since: datetime, until: datetime) -> list[Bar]:
    """Bars of what a product traded in `[since, until)`, earliest first; empty intervals are left out."""
    rows = RoundPrice.objects.filter(
        product_id=product_id, volume_st__gt=0, round__closed_at__gte=since, round__closed_at__lt=until
    )
    found = rows.order_by("number").values_list("round__closed_at", "price_micros", "volume_st")
    return kernel.bars((Trade(*row) for row in found), interval=interval)  # type: ignore[arg-type]  # as above


def index(market_id: UUID, line_id: UUID, grade: str, *, since: datetime, until: datetime) -> list[IndexPoint]:
    """The volume-weighted price of a line and grade per five minutes in `[since, until)`, over all its windows."""
    with connection.cursor() as cursor:
        cursor.execute(_TURNOVERS, [market_id, line_id, grade, since, until + _AHEAD, since, until])
        rows = cursor.fetchall()
    return kernel.index(Turnover(at, int(value), int(volume)) for at, value, volume in rows)


def volumes(
    line: str, grade: str, window_starts: Collection[datetime], *, since: datetime, until: datetime
) -> list[tuple[datetime, int, int]]:
    """(window, price in micro-yuan per million ST, ST) of what the rounds closed in `[since, until)` traded there.

    :raises UnknownLine: there is no active line of this name.
    """
    about = (catalogue.the_market().id, catalogue.line(line).id, grade, list(window_starts), since, until)
    with connection.cursor() as cursor:
        cursor.execute(_VOLUMES, about)
        return [(start, price, volume) for start, price, volume in cursor.fetchall()]
