"""Exports: files of many invoices, made by a task that goes on where it was interrupted.

What an export takes is fixed when it is asked for, and invoices never change; so it is the same bytes however often it
was interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet

from accounts import services as accounts
from accounts.kernel.actor import Actor
from billing import locks, selectors
from billing.documents import archive, csv, xlsx
from billing.documents.figures import from_dict
from billing.models import Export, ExportPart, Invoice
from billing.services.files import MEDIA, Document, entries
from billing.services.invoices import BillingError

KEPT = timedelta(days=7)
BATCH = 20
MOST_INVOICES, MOST_OPEN = 5_000, 5
FORMATS = {"files": ("zip",), "lines": ("csv", "xlsx", "zip")}
log = structlog.get_logger()


class BadExport(BillingError):
    """An unknown kind or format, days in the wrong order, or nothing in the selection."""

    code = "bad_export"
    status = 422


class ExportTooLarge(BillingError):
    """More invoices than one export takes."""

    code = "export_too_large"
    status = 422


class TooManyExports(BillingError):
    """Several of the organisation's exports are still waiting."""

    code = "too_many_exports"
    status = 409


class NotReady(BillingError):
    """The file is not made yet, or was removed."""

    code = "export_not_ready"
    status = 409


def request(
    *, kind: str, format: str, first_date: date | None, last_date: date | None, actor: Actor, now: datetime
) -> UUID:
    """Ask for an export of the actor's invoices whose period touches the days given; both bounds count.

    :raises BadExport, ExportTooLarge, TooManyExports: see there.
    """
    if format not in FORMATS.get(kind, ()):
        raise BadExport("There is no such kind of export in this format.")
    if first_date and last_date and first_date > last_date:
        raise BadExport("The first day comes after the last.")
    with transaction.atomic():
        locks.billing_profile(actor.organisation_id)  # exports of one organisation are asked for one at a time
        chosen = selectors.invoices(actor)
        newest = chosen.first()
        export = Export(
            organisation_id=actor.organisation_id, user_id=actor.user_id, key_id=actor.key_id, kind=kind, format=format,
            first_date=first_date, last_date=last_date, up_to=newest.id if newest else None, created_at=now,
            invoices=0,
        )  # fmt: skip
        export.invoices = _chosen(export).count() if newest else 0
        if not export.invoices:
            raise BadExport("No invoice is in this selection.")
        if export.invoices > MOST_INVOICES:
            raise ExportTooLarge(f"An export takes at most {MOST_INVOICES} invoices; choose fewer days.")
        waiting = Export.objects.filter(organisation_id=actor.organisation_id, state=Export.State.WAITING)
        if waiting.count() >= MOST_OPEN:
            raise TooManyExports(f"{MOST_OPEN} exports are still being made; wait for one of them.")
        export.save(force_insert=True)
        accounts.audit.record(
            actor=actor, action="export.requested", subject=str(export.id), detail={"kind": kind, "format": format},
            now=now,
        )  # fmt: skip
    return export.id


def retry(export_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Let a failed or expired export be made once more.

    :raises selectors.NoSuchExport: unknown, or another organisation's.
    """
    export = selectors.export_row(export_id, actor=actor)
    Export.objects.filter(id=export.id, state__in=[Export.State.FAILED, Export.State.EXPIRED]).update(
        state=Export.State.WAITING, failure="", finished_at=None, expires_at=None, done=0, last_id=None, rows=0
    )


def work(*, now: Callable[[], datetime], limit: int = 100) -> int:
    """Make what waits, a batch of invoices a transaction; gives how many batches. Safe to run twice, or at once."""
    steps = 0
    while steps < limit and (export_id := selectors.waiting_export()) is not None:
        try:
            if not _step(export_id, now()):
                break  # another worker has it
        except Exception:
            log.exception("billing.export.failed", export_id=str(export_id))
            Export.objects.filter(id=export_id, state=Export.State.WAITING).update(
                state=Export.State.FAILED, failure="render_failed", finished_at=now()
            )
        steps += 1
    return steps


def expire(*, now: datetime) -> int:
    """Remove the files of exports that are past their time; gives how many."""
    return Export.objects.filter(state=Export.State.READY, expires_at__lte=now).update(
        state=Export.State.EXPIRED, content=None
    )


def file(export_id: UUID, *, actor: Actor, now: datetime) -> Document:
    """The file of a finished export.

    :raises selectors.NoSuchExport: unknown, or another organisation's.
    :raises NotReady: not made yet, failed, or expired.
    """
    export = selectors.export_row(export_id, actor=actor)
    if export.content is None or export.expires_at is None or export.expires_at <= now:
        raise NotReady("The file is not there: it is being made, or its time is over.")
    name = f"{export.kind}-{export.created_at:%Y%m%d-%H%M%S}.{export.format}"
    return Document(name, MEDIA[export.format], bytes(export.content), export.sha256)


def _chosen(export: Export) -> QuerySet[Invoice]:
    """The export's invoices in order. A period touches a day where any of it lies in it."""
    found = Invoice.objects.filter(organisation_id=export.organisation_id, id__lte=export.up_to)
    if export.first_date:
        found = found.filter(figures__last_date__gte=export.first_date.isoformat())
    if export.last_date:
        found = found.filter(figures__first_date__lte=export.last_date.isoformat())
    return found.order_by("id")


def _step(export_id: UUID, now: datetime) -> bool:
    """One more batch, or the file itself when all batches are done; False where another worker holds the export."""
    with transaction.atomic():
        export = locks.waiting_export(export_id)
        if export is None:
            return False
        left = _chosen(export) if export.last_id is None else _chosen(export).filter(id__gt=export.last_id)
        batch = list(left[:BATCH])
        if batch:
            _prepare(export, batch, now)
        else:
            _finish(export, now)
    return True


def _prepare(export: Export, batch: list[Invoice], now: datetime) -> None:
    """Keep what a batch comes to: the stored files of its invoices, or their rows."""
    if export.last_id is None:
        export.parts.all().delete()
    if export.kind == Export.Kind.FILES:
        export.rows += sum(len(list(entries(invoice, now=now))) for invoice in batch)
    else:
        rows = [row for invoice in batch for row in csv.rows(from_dict(invoice.figures)) if row["row"] == "line"]
        ExportPart.objects.create(export=export, number=export.done, rows=rows)
        export.rows += len(rows)
    export.done += len(batch)
    export.last_id = batch[-1].id
    export.save(update_fields=["rows", "done", "last_id"])


def _finish(export: Export, now: datetime) -> None:
    content = _content(export, now)
    export.content, export.size_bytes, export.sha256 = content, len(content), hashlib.sha256(content).hexdigest()
    export.state, export.finished_at, export.expires_at = Export.State.READY, now, now + KEPT
    export.save()
    export.parts.all().delete()


def _content(export: Export, now: datetime) -> bytes:
    if export.kind == Export.Kind.FILES:
        return archive.render(entry for invoice in _chosen(export).iterator() for entry in entries(invoice, now=now))
    if export.format == "csv":
        return _table(export)
    if export.format == "xlsx":
        return _workbook(export)
    about: dict[str, str] = {"invoices": str(export.invoices), "rows": str(export.rows)}
    return archive.render(
        [archive.Entry("lines.csv", _table(export), about), archive.Entry("lines.xlsx", _workbook(export), about)]
    )


def _table(export: Export) -> bytes:
    return csv.table(csv.COLUMNS, (csv.neutral_row(row) for row in _rows(export)))


def _workbook(export: Export) -> bytes:
    made_at = export.created_at.astimezone(UTC).isoformat()
    return xlsx.workbook([xlsx.Sheet("Lines", xlsx.LINE_COLUMNS, _rows(export))], made_at=made_at, title="lines")


def _rows(export: Export) -> Iterator[dict[str, Any]]:
    for part in export.parts.order_by("number").iterator(chunk_size=10):
        yield from part.rows
