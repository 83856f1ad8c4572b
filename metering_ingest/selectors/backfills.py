"""Backfills, for staff only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.selectors import organisations
from metering_ingest.models import Backfill, BackfillPart


class NoSuchBackfill(DomainError):
    """There is no such job, or who asks is not of the operator's staff."""

    code = "not_found"
    status = 404


@dataclass(frozen=True, slots=True)
class BackfillView:
    """One job: how many of its records were taken in, and what became of them by result."""

    id: UUID
    organisation_id: UUID
    organisation: str
    name: str
    sha256: str
    reason: str
    state: str
    records: int
    records_done: int
    counts: dict[str, int]
    made_at: datetime
    done_at: datetime | None


def may_backfill(actor: Actor) -> bool:
    """Staff in the browser, or a program of the operator."""
    return actor.is_staff or (actor.organisation_kind == "operator" and actor.can("usage:write"))


def backfills(actor: Actor, *, limit: int = 100) -> list[BackfillView]:
    """The newest jobs, newest first; none for who is not staff."""
    if not may_backfill(actor):
        return []
    return _views(list(Backfill.objects.order_by("-made_at", "-id")[:limit]))


def backfill(backfill_id: UUID, actor: Actor) -> BackfillView:
    """One job.

    :raises NoSuchBackfill: see there.
    """
    found = _views(list(Backfill.objects.filter(id=backfill_id))) if may_backfill(actor) else []
    if not found:
        raise NoSuchBackfill("There is no such backfill.")
    return found[0]


def results(backfill_id: UUID, actor: Actor) -> Iterator[bytes]:
    """What became of the records so far, one JSON object a line, part by part in the file's order.

    :raises NoSuchBackfill: see there.
    """
    backfill(backfill_id, actor)
    rows = BackfillPart.objects.filter(backfill_id=backfill_id).exclude(results=None).order_by("number")
    return (bytes(part) for part in rows.values_list("results", flat=True).iterator(chunk_size=1) if part is not None)


def _views(rows: list[Backfill]) -> list[BackfillView]:
    named = organisations.get_many({row.organisation_id for row in rows})
    return [
        BackfillView(
            row.id, row.organisation_id, named[row.organisation_id].name, row.name, row.sha256, row.reason, row.state,
            row.records, row.records_done, row.counts, row.made_at, row.done_at,
        )
        for row in rows
    ]  # fmt: skip
