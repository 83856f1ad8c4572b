"""Backfill: staff send a file of one organisation's records through ingest, with only the time window lifted.

The file is kept in parts. A part's records, its results and the job's progress
are committed together, so a worker that is killed leaves whole parts, and the
next one goes on from there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

import msgspec
from django.db import IntegrityError, transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.selectors import organisations
from accounts.services import audit
from metering_ingest import locks
from metering_ingest.kernel import files
from metering_ingest.models import Backfill, BackfillPart
from metering_ingest.selectors.backfills import BackfillView, backfill, may_backfill
from metering_ingest.services.ingest import Outcome, Submission, take
from metering_ingest.services.rows import Sender

PART = 1_000
_LONGEST = timedelta(seconds=20)


class BackfillForbidden(DomainError):
    """Only staff of the operator may send records beyond the window of 35 days."""

    code = "forbidden"
    status = 403


class BadBackfill(DomainError):
    """The file is wrong; nothing of it was stored. `line` where one line is."""

    code = "bad_file"
    status = 400


class NeedsReason(DomainError):
    """A backfill says why."""

    code = "reason_missing"
    status = 400


class _Line(msgspec.Struct):
    line: int
    result: str
    id: str
    record: str | None
    content: str | None
    code: str | None
    field: str | None
    reason: str | None


def start(raw: bytes, *, organisation_id: UUID, name: str, reason: str, actor: Actor, now: datetime) -> BackfillView:
    """Keep a file for the worker; the same file again, while it is under way, is the same job.

    :raises BackfillForbidden, BadBackfill, NeedsReason, UnknownOrganisation: see there.
    """
    if not may_backfill(actor):
        raise BackfillForbidden("Only staff of the operator may do this.")
    reason = reason.strip()
    if not 1 <= len(reason) <= 200 or not reason.isprintable():
        raise NeedsReason("Say why, in 1 to 200 characters.", field="reason")
    organisations.get(organisation_id)
    try:
        lines = files.split(raw)
    except files.BadFile as error:
        raise BadBackfill(str(error), line=error.line) from None
    digest = hashlib.sha256(raw).hexdigest()
    try:
        with transaction.atomic():
            row = _keep(
                lines, organisation_id=organisation_id, name=name, digest=digest, reason=reason, actor=actor, now=now
            )
    except IntegrityError as error:
        if "backfill_once" not in str(error):
            raise
        row = Backfill.objects.exclude(state=Backfill.State.DONE).get(organisation_id=organisation_id, sha256=digest)
    return backfill(row.id, actor)


def advance(*, now: datetime, longest: timedelta = _LONGEST) -> int:
    """Take in parts for some seconds, the oldest job first; gives how many."""
    began, parts = monotonic(), 0
    while monotonic() - began < longest.total_seconds() and _advance_one(now):
        parts += 1
    return parts


def _keep(
    lines: list[bytes], *, organisation_id: UUID, name: str, digest: str, reason: str, actor: Actor, now: datetime
) -> Backfill:
    kept = "".join(letter for letter in name if letter.isprintable())[:200]
    row = Backfill.objects.create(
        id=ids.new(), organisation_id=organisation_id, name=kept, sha256=digest, reason=reason, records=len(lines),
        made_by_organisation=actor.organisation_id, made_by_user=actor.user_id, made_by_key=actor.key_id, made_at=now,
    )  # fmt: skip
    BackfillPart.objects.bulk_create(
        BackfillPart(backfill=row, number=at // PART, records=len(some), content=b"\n".join(some))
        for at in range(0, len(lines), PART)
        if (some := lines[at : at + PART])
    )
    _audit(row, "metering.backfill_started", now, reason=reason, sha256=digest, records=row.records)
    return row


def _advance_one(now: datetime) -> bool:
    """Take in one part; False where no job waits that another worker does not hold."""
    with transaction.atomic():
        job = locks.unfinished_backfill()
        if job is None:
            return False
        part = BackfillPart.objects.filter(backfill=job, results=None).order_by("number").first()
        if part is not None:
            outcomes = _take(job, bytes(part.content).split(b"\n"), now)
            results = b"".join(_line(part.number * PART + at, one) for at, one in enumerate(outcomes, 1))
            BackfillPart.objects.filter(backfill=job, number=part.number).update(results=results)
            job.counts = dict(Counter(job.counts) + Counter(one.result for one in outcomes))
            job.records_done += part.records
            job.state = Backfill.State.RUNNING
        if job.records_done == job.records:
            job.state, job.done_at = Backfill.State.DONE, now
            _audit(job, "metering.backfill_done", now, **job.counts)
        job.save(update_fields=["counts", "records_done", "state", "done_at"])
    return True


def _take(job: Backfill, lines: list[bytes], now: datetime) -> list[Outcome]:
    is_operator = job.organisation_id == organisations.operator_id()
    batch = files.read(lines)
    (taken,) = take([Submission(Sender(job.organisation_id, is_operator), batch.records)], now=now, lifted=True)
    return taken.outcomes


def _line(number: int, one: Outcome) -> bytes:
    line = _Line(number, one.result, one.id, one.record, one.content, one.code, one.field, one.reason)
    return msgspec.json.encode(line) + b"\n"


def _audit(job: Backfill, action: str, now: datetime, **detail: object) -> None:
    """In the name of who sent the file, also for what the worker does of it later."""
    by = Actor(job.made_by_organisation, "operator", "", job.made_by_user, job.made_by_key, None, frozenset())
    of = {"organisation": ids.encode("org", job.organisation_id), **detail}
    audit.record(actor=by, action=action, subject=ids.encode("bfl", job.id), detail=of, now=now)
