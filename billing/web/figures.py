"""What the pages show, put together from the selectors of the floors below."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.decimals import plain_yuan
from accounts.selectors import organisations
from billing import selectors
from billing.documents.figures import from_dict
from billing.kernel.periods import market_date
from billing.kernel.rounding import EXACT_PER_MICRO
from billing.models import Invoice
from ledger import selectors as ledger
from market import selectors as market
from metering_ingest import selectors as metering


def home(actor: Actor, *, now: datetime) -> dict[str, Any]:
    """Balance and holds, open orders, this month's spend, next steps."""
    month = market_date(now).replace(day=1)
    spent = selectors.spent_by_day(actor.organisation_id, since=month)
    allocations = market.allocations(actor, since=now - timedelta(days=2)) if actor.is_buyer else []
    wallet = ledger.wallet(actor.organisation_id, "CNY")
    orders = market.orders(actor, open_only=True, limit=5)
    return {
        "wallet": wallet,
        "open_orders": orders,
        "left_now_st": sum(a.left_micro_st for a in allocations if a.window_start <= now < a.window_end) // 10**6,
        "month_micro_st": sum(day.micro_st for day in spent),
        "month_micros": sum(day.exact for day in spent) // EXACT_PER_MICRO,
        "waiting": selectors.waiting(actor.organisation_id),
        "earned": selectors.earned(actor.organisation_id) if actor.is_provider else None,
        "has_bought": bool(allocations) or bool(spent),
        "has_used": bool(spent) or any(a.drawn_micro_st for a in allocations),
        "has_invoice": selectors.invoices(actor).exists(),
        "market": market.market_state(),
        "now": now,
    }


_PAGE = 50
_MOVEMENTS = {
    "top_up": gettext_lazy("Bank transfer"),
    "card_top_up": gettext_lazy("Paid in by card or wallet app"),
    "invoice_paid": gettext_lazy("Invoice paid"),
    "refund": gettext_lazy("Refund"),
    "refund_back": gettext_lazy("Refund came back"),
    "usage": gettext_lazy("Usage"),
    "usage_back": gettext_lazy("Usage corrected"),
    "dispute": gettext_lazy("Back after a dispute"),
    "credit_note": gettext_lazy("Credit note"),
    "rounding": gettext_lazy("Rounding of an invoice"),
    "promise": gettext_lazy("Back from the seller: slower than promised"),
    "shortfall": gettext_lazy("Back from the seller: not delivered"),
}


def balance(actor: Actor, *, before: int | None) -> dict[str, Any]:
    """The wallet, the operator's bank account with the reference to give, and a page of movements."""
    found = selectors.movements(actor, before=before, limit=_PAGE + 1)
    return {
        "wallet": ledger.wallet(actor.organisation_id, "CNY"),
        "operator": organisations.get(organisations.operator_id()),
        "reference": ids.encode("org", actor.organisation_id),
        "rows": [(one, _MOVEMENTS.get(one.kind, one.kind)) for one in found[:_PAGE]],
        "older": found[_PAGE - 1].entry_id if len(found) > _PAGE else None,
        "first_page": before is None,
    }


def usage(actor: Actor, *, now: datetime, days: int) -> dict[str, Any]:
    """Products with what was bought, metered and billed of each, and the newest records."""
    allocations = market.allocations(actor, since=now - timedelta(days=days))
    by_id = {allocation.id: allocation for allocation in allocations}
    rows = selectors.usage_rows(allocations)
    records = metering.records_of(list(by_id), limit=50)
    spent = selectors.spent_by_day(actor.organisation_id, since=market_date(now - timedelta(days=days)))
    return {
        "rows": rows,
        "records": [{"record": record, "allocation": by_id[record.allocation_id]} for record in records],
        "chart": _spend_chart(spent),
        "chart_headers": [_("Day"), _("Model line"), _("Amount, CN¥")],
        "chart_rows": [
            [day.delivery_date.isoformat(), day.line, plain_yuan(day.exact // EXACT_PER_MICRO)] for day in spent
        ],
        "chart_summary": _("Spent in the days shown: CN¥{amount}.").format(
            amount=plain_yuan(sum(day.exact for day in spent) // EXACT_PER_MICRO)
        ),
        "total_metered": sum(row["metered_micro_st"] for row in rows),
        "total_billed": sum(row["billed_micro_st"] for row in rows),
        "total_micros": sum(day.exact for day in spent) // EXACT_PER_MICRO,
        "total_requests": sum(row["requests"] for row in rows),
        "is_provider": actor.is_provider and not actor.is_buyer,
    }


def _spend_chart(spent: list[selectors.SpentDay]) -> dict[str, Any]:
    """Stacked bars of yuan a day by line, as decimal strings."""
    labels = sorted({day.delivery_date for day in spent})
    by_line: dict[str, dict[Any, int]] = defaultdict(lambda: defaultdict(int))
    for day in spent:
        by_line[day.line][day.delivery_date] += day.exact // EXACT_PER_MICRO
    series = [
        {
            "name": line,
            "values": [plain_yuan(amounts[label]) for label in labels],
            "texts": [plain_yuan(amounts[label]) for label in labels],
            "type": "bar",
            "color": f"c{position % 7 + 1}",
        }
        for position, (line, amounts) in enumerate(sorted(by_line.items()))
    ]
    return {"y": "CN¥", "labels": [label.isoformat() for label in labels], "series": series}


def invoice_row(row: Invoice) -> dict[str, Any]:
    """One row of the list."""
    return {
        "public_id": ids.encode("inv", row.id),
        "number": row.figures["number"],
        "first_date": row.figures["first_date"],
        "last_date": row.figures["last_date"],
        "issued_at": row.issued_at,
        "net_fen": row.net_fen,
        "tax_fen": row.tax_fen,
        "total_fen": row.total_fen,
        "state": row.state,
        "due_date": row.due_date,
    }


def invoice(row: Invoice) -> dict[str, Any]:
    """An invoice as its frozen figures say it."""
    figures = from_dict(row.figures)
    return {
        "invoice": row,
        "public_id": ids.encode("inv", row.id),
        "figures": figures,
        "lines": [{"line": line} for line in figures.lines],
        "credit_notes": [
            {"public_id": ids.encode("crn", note.id), "figures": note.figures, "issued_at": note.issued_at}
            for note in row.credit_notes.order_by("number")
        ],
    }
