"""The list of orders as CSV: RFC 4180, UTF-8 with a byte order mark, one table, named as in the API."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypedDict

from django.http import HttpRequest, HttpResponse

from accounts.http.web import ActorPage
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.cells import neutral
from market import selectors
from market.kernel.text import price_text
from market.selectors import OrderView
from market.web import labels

MOST = 10_000
_AT_ONCE = 1_000
_BOM = "\ufeff"  # without it Excel reads Chinese as something else
COLUMNS = (
    "id",
    "side",
    "line",
    "line_name",
    "grade",
    "window_start",
    "window_end",
    "status",
    "quantity_st",
    "filled_st",
    "left_st",
    "price_per_million",
    "average_price_per_million",
    "paid",
    "held",
    "saved",
    "currency",
    "time_in_force",
    "expires_at",
    "client_order_id",
    "created_at",
    "amended_at",
    "ended_at",
    "choices",
    "vendors",
    "regions",
    "tiers",
    "data_terms",
    "min_quantity_st",
)


class Filters(TypedDict):
    """What the list of orders is narrowed to."""

    status: str | None
    line: str | None


def filters(request: HttpRequest) -> Filters:
    """The filters in the address; a status that does not exist is none."""
    status = request.GET.get("status", "")
    return {"status": status if status in labels.STATUSES else None, "line": request.GET.get("line") or None}


class OrdersFile(ActorPage):
    """All pages of the filtered list in one file."""

    scope = "orders:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first, at most `MOST` rows."""
        written = io.StringIO(newline="")
        table = csv.writer(written, lineterminator="\r\n")
        table.writerow(COLUMNS)
        table.writerows(_row(view) for view in _orders(self.actor, filters(request)))
        return HttpResponse(
            (_BOM + written.getvalue()).encode(),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="orders.csv"'},
        )


def _orders(actor: Actor, narrowed: Filters) -> Iterator[OrderView]:
    before, left = None, MOST
    while left:
        found = selectors.orders(actor, **narrowed, before=before, limit=min(left, _AT_ONCE))
        yield from found
        if len(found) < _AT_ONCE:
            return
        before, left = found[-1].id, left - len(found)


def _row(view: OrderView) -> list[str]:
    cells: dict[str, Any] = {
        "id": ids.encode("ord", view.id),
        "side": view.side,
        "line": neutral(view.line),
        "line_name": neutral(view.line_name),
        "grade": view.grade,
        "window_start": _instant(view.window_start),
        "window_end": _instant(view.window_end),
        "status": view.status,
        "quantity_st": view.quantity_st,
        "filled_st": view.filled_st,
        "left_st": view.left_st,
        "price_per_million": _price(view.limit_micros),
        "average_price_per_million": _price(view.average_micros),
        "paid": _price(view.paid_micros),
        "held": _price(view.held_micros),
        "saved": _price(view.saved_micros) if view.side == "buy" else "",
        "currency": view.currency,
        "time_in_force": view.time_in_force,
        "expires_at": _instant(view.expires_at),
        "client_order_id": neutral(view.client_order_id or ""),
        "created_at": _instant(view.created_at),
        "amended_at": _instant(view.amended_at),
        "ended_at": _instant(view.ended_at),
        "choices": neutral(
            "; ".join(
                f"{one.line}{one.grade and '/' + one.grade} {_instant(one.window_start)} {_price(one.limit_micros)}"
                for one in view.choices
            )
        ),
        "vendors": neutral("; ".join(sorted(view.scope.vendors))),
        "regions": neutral("; ".join(sorted(view.scope.regions))),
        "tiers": neutral("; ".join(sorted(view.scope.tiers))),
        "data_terms": neutral("; ".join(sorted(view.scope.data_terms))),
        "min_quantity_st": view.scope.minimum_st,
    }
    return [str(cells[name]) for name in COLUMNS]


def _price(micros: int | None) -> str:
    return "" if micros is None else price_text(micros)


def _instant(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
