"""The counts of all meters as CSV: one row a minute and allocation, named as in the API."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from accounts.http.web import ActorPage
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.selectors import clock
from metering_ingest.kernel.comparing import Sums
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.selectors.reconciliation import ComparisonView

DAYS = timedelta(days=30)
MOST = 50_000
_AT_ONCE = 2_000
METERS = ("gateway", "agent", "buyer")
COLUMNS = (
    "allocation", "minute", "state", "causes",
    *(f"{meter}_{count}" for meter in METERS for count in Sums._fields),
    "over_micro_st", "under_micro_st", "dispute",
)  # fmt: skip


class CountsFile(ActorPage):
    """All compared minutes of the last 30 days."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first, at most `MOST` rows; UTF-8 with a byte order mark."""
        written = io.StringIO(newline="")
        table = csv.writer(written, lineterminator="\r\n")
        table.writerow(COLUMNS)
        table.writerows(_row(one) for one in _minutes(self.actor, since=clock.now() - DAYS))
        response = HttpResponse("\ufeff" + written.getvalue(), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="counts.csv"'
        return response


def _minutes(actor: Actor, *, since: datetime) -> Iterator[ComparisonView]:
    before: tuple[datetime, UUID] | None = None
    for _ in range(MOST // _AT_ONCE):
        found = reads.comparisons(actor, limit=_AT_ONCE, before=before)
        for one in found:
            if one.minute < since:
                return
            yield one
        if len(found) < _AT_ONCE:
            return
        before = (found[-1].minute, found[-1].allocation_id)


def _row(one: ComparisonView) -> list[object]:
    return [
        ids.encode("alc", one.allocation_id),
        one.minute.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        one.state,
        " ".join(one.causes),
        *(count for meter in METERS for count in getattr(one, meter)),
        one.over_micro_st,
        one.under_micro_st,
        "" if one.dispute_id is None else ids.encode("dsp", one.dispute_id),
    ]
