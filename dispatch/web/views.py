"""The page of requests by key, line, hour and day, and the same rows as a file."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from accounts.http.web import ActorPage
from accounts.kernel.cells import neutral
from accounts.kernel.decimals import plain_yuan
from accounts.selectors import clock
from dispatch import selectors
from dispatch.selectors import By, Used

EXACT_PER_MICRO = 10**12
DAYS = ("1", "7", "30")
COLUMNS = (
    "group", "name", "requests", "failed", "input_tokens", "cached_tokens", "output_tokens", "micro_st", "value",
    "currency",
)  # fmt: skip


class Requests(ActorPage):
    """What requests used, grouped as the address says."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The last day, week or month."""
        by, days, key_id = _asked(request)
        names = selectors.key_names(self.actor)
        rows = _rows(self, by, days, key_id)
        context: dict[str, Any] = {
            "by": by,
            "days": days,
            "key": str(key_id) if key_id else "",
            "groups": [("key", _("By key")), ("line", _("By line")), ("hour", _("By hour")), ("day", _("By day"))],
            "spans": [("1", _("24 hours")), ("7", _("7 days")), ("30", _("30 days"))],
            "keys": sorted(names.items(), key=lambda item: item[1]),
            "rows": [_shown(row, by, names) for row in rows],
            "total_requests": sum(row.requests for row in rows),
            "total_micro_st": sum(row.micro_st for row in rows),
            "total_micros": sum(row.exact for row in rows) // EXACT_PER_MICRO,
        }
        return render(request, "dispatch/requests.html", context)


class RequestsFile(ActorPage):
    """The same rows as CSV: RFC 4180, UTF-8 with a byte order mark, plain decimals."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """One table, in the page's order."""
        by, days, key_id = _asked(request)
        names = selectors.key_names(self.actor)
        written = io.StringIO(newline="")
        table = csv.writer(written, lineterminator="\r\n")
        table.writerow(COLUMNS)
        for row in _rows(self, by, days, key_id):
            counts = (row.requests, row.failed, row.input_tokens, row.cached_tokens, row.output_tokens, row.micro_st)
            name = neutral(_name(row, by, names)) if by == "key" else row.group
            table.writerow([row.group, name, *counts, plain_yuan(row.exact // EXACT_PER_MICRO), "CNY"])
        response = HttpResponse("\ufeff" + written.getvalue(), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="requests-by-{by}.csv"'
        return response


def _asked(request: HttpRequest) -> tuple[By, str, UUID | None]:
    """Grouping, days and key in the address; what does not exist is as if it were not there."""
    by, days = request.GET.get("by", ""), request.GET.get("days", "")
    try:
        key_id = UUID(request.GET.get("key", ""))
    except ValueError:
        key_id = None
    return (by if by in selectors.GROUPS else "key"), (days if days in DAYS else "7"), key_id


def _rows(page: ActorPage, by: By, days: str, key_id: UUID | None) -> list[Used]:
    now: datetime = clock.now()
    return selectors.used(page.actor, by=by, since=now - timedelta(days=int(days)), until=now, key_id=key_id)


def _shown(row: Used, by: By, names: dict[str, str]) -> dict[str, Any]:
    at = datetime.fromisoformat(row.group) if by == "hour" else None
    return {"used": row, "name": _name(row, by, names), "at": at, "micros": row.exact // EXACT_PER_MICRO}


def _name(row: Used, by: By, names: dict[str, str]) -> str:
    """What a group is called; times are shown by the page's own formatters."""
    if by != "key":
        return row.group
    return names.get(row.group, _("Signed in, without a key"))
