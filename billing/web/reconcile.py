"""The page that walks from metered to paid, and lists what waits between the steps."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.http.web import ActorPage
from accounts.kernel.decimals import plain_yuan
from accounts.selectors import clock
from billing import selectors
from billing.kernel.periods import market_date
from billing.kernel.rounding import EXACT_PER_MICRO
from billing.selectors.waterfall import Waterfall

SPANS = ("7", "30", "90")
CAUSES = {
    "unsettled": gettext_lazy("The hour is not quiet yet"),
    "uninvoiced": gettext_lazy("Waits for its invoice"),
    "contested": gettext_lazy("Contested: frozen until its dispute ends"),
    "overflow": gettext_lazy("Beyond everything that was bought"),
    "below_invoiced": gettext_lazy("A correction lowers what an invoice already has"),
    "below_closed": gettext_lazy("A correction lowers what a closed day already has"),
}


class Reconcile(ActorPage):
    """Metered, rated, invoiced, paid."""

    scope = "billing:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The last 7, 30 or 90 delivery days."""
        now = clock.now()
        days = request.GET.get("days", "")
        days = days if days in SPANS else "30"
        last = market_date(now)
        first = last - timedelta(days=int(days) - 1)
        context = {"days": days, "spans": [(one, _("{n} days").format(n=one)) for one in SPANS], "now": now}
        return render(
            request, "billing/reconcile.html", {**context, **figures(self.actor.organisation_id, first, last)}
        )


def figures(organisation_id: Any, first: date, last: date) -> dict[str, Any]:
    """Everything the page shows of a span of delivery days."""
    found = selectors.waterfall(organisation_id, first=first, last=last)
    steps = _steps(found)
    return {
        "found": found,
        "chart": _chart(steps),
        "chart_headers": [_("Step"), _("Amount, CN¥")],
        "chart_rows": [[label, plain_yuan(exact // EXACT_PER_MICRO)] for label, exact, _total in steps],
        "chart_summary": _("Of CN¥{metered} metered, CN¥{rated} is rated and CN¥{invoiced} invoiced.").format(
            metered=plain_yuan(found.metered // EXACT_PER_MICRO),
            rated=plain_yuan(found.rated // EXACT_PER_MICRO),
            invoiced=plain_yuan(found.invoiced // EXACT_PER_MICRO),
        ),
        "unexplained_micros": found.unexplained // EXACT_PER_MICRO,
        "rows": [
            {"row": row, "cause": CAUSES.get(row.cause, row.cause), "micros": row.exact // EXACT_PER_MICRO}
            for row in selectors.open_rows(organisation_id, first=first, last=last)
        ],
        "empty": not (found.metered or found.rated or found.invoiced),
    }


def _steps(found: Waterfall) -> list[tuple[str, int, bool]]:
    """Label, exact amount with its sign, and whether it is a total; what no step explains comes last."""
    return [
        (_("Metered"), found.metered, True),
        (_("Not settled yet"), -found.unsettled, False),
        (_("Not rated yet"), -found.unrated, False),
        (_("Priced at another purchase"), found.repriced, False),
        (_("Bought, not drawn"), found.undrawn, False),
        (_("Cancellation fees"), found.fees, False),
        (_("Rated"), found.rated, True),
        (_("Not invoiced yet"), -found.uninvoiced, False),
        (_("Invoiced"), found.invoiced, True),
        (_("Unexplained"), found.unexplained, False),
    ]


def _chart(steps: list[tuple[str, int, bool]]) -> dict[str, Any]:
    """Bars between two levels, as decimal strings of yuan."""
    level, bars = 0, []
    for label, exact, total in steps:
        low, high = (0, exact) if total else sorted((level, level + exact))
        bars.append(
            {
                "name": label,
                "low": plain_yuan(low // EXACT_PER_MICRO),
                "height": plain_yuan((high - low) // EXACT_PER_MICRO),
                "text": plain_yuan(exact // EXACT_PER_MICRO),
                "color": "c1" if total else "c2",
            }
        )
        level = exact if total else level + exact
    return {"y": "CN¥", "bars": bars}
