"""How quarantined records end: judged again and counted, or rejected with a reason. Rows are only ever added."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from django.db import connection, transaction

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.selectors import organisations
from accounts.services import audit
from metering_ingest.kernel.classify import Counted, Refused
from metering_ingest.kernel.events import UsageEvent
from metering_ingest.models import Quarantined, Resolution
from metering_ingest.selectors import waiting_of
from metering_ingest.selectors.cases import NoSuchRecord
from metering_ingest.services import rows, voids
from metering_ingest.services.ingest import judge
from metering_ingest.services.rows import Claim, Sender


class ResolvedBefore(DomainError):
    """Somebody has released or rejected the record."""

    code = "resolved_before"
    status = 409


class StillRefused(DomainError):
    """Judged again, the record still does not count."""

    code = "still_refused"


class NeedsReason(DomainError):
    """A resolution says why."""

    code = "reason_missing"
    status = 400


def release(key: UUID, *, reason: str, actor: Actor, now: datetime) -> None:
    """Judge a quarantined record again by what is known now; where it counts, it counts as of its arrival.

    Staff may release a record that came too late; for others it stays so.

    :raises NoSuchRecord, ResolvedBefore, StillRefused, NeedsReason: see there.
    """
    with transaction.atomic():
        row = _waiting(key, reason, actor)
        claim = _claim(row)
        voids.lock([claim])
        verdict = judge([claim], now=now, lifted=actor.is_staff)[claim.key]
        if isinstance(verdict, Refused):
            raise StillRefused(f"The record still does not count: {verdict.reason}.", reason=verdict.reason)
        _resolve(row, Resolution.Action.RELEASED, reason, actor, now)
        _count(claim, verdict, row, now)


def reject(key: UUID, *, reason: str, actor: Actor, now: datetime) -> None:
    """End a quarantined record; it stays stored and never counts.

    :raises NoSuchRecord, ResolvedBefore, NeedsReason: see there.
    """
    with transaction.atomic():
        _resolve(_waiting(key, reason, actor), Resolution.Action.REJECTED, reason, actor, now)


def _waiting(key: UUID, reason: str, actor: Actor) -> Quarantined:
    if not reason.strip() or not reason.isprintable():
        raise NeedsReason("Say why.", field="reason")
    with connection.cursor() as cursor:  # two at once: the second sees the first's resolution
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", [key.hex])
    row = waiting_of(actor).filter(key=key).first()
    if row is not None:
        return row
    mine = Quarantined.objects.all() if actor.is_staff else Quarantined.objects.filter(tenant=actor.organisation_id)
    if mine.filter(key=key).exists():
        raise ResolvedBefore("This record was released or rejected before.")
    raise NoSuchRecord("There is no such record.")


def _claim(row: Quarantined) -> Claim:
    event = msgspec.convert(row.event, UsageEvent)
    sender = Sender(row.tenant, row.tenant == organisations.operator_id(), row.agent_id)
    return Claim((0, 0), row.key.hex, "", event, sender)


def _count(claim: Claim, verdict: Counted, row: Quarantined, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT arrived_on FROM metering_usage_key WHERE key = %s", [row.key])
        day = str(cursor.fetchone()[0])
    if claim.event.voids is not None:
        voids.keep([claim], row.received_at)
        rows.roll_up([], voids.reverse([], [claim], now), now)
        return
    rows.copy_records([(claim, verdict)], row.received_at, arrived_on=day)
    rows.roll_up([(claim, verdict)], voids.reverse([claim], [], now), now)


def _resolve(row: Quarantined, action: str, reason: str, actor: Actor, now: datetime) -> None:
    Resolution.objects.create(
        key=row.key, action=action, reason=reason, organisation_id=actor.organisation_id, user_id=actor.user_id, at=now
    )
    audit.record(
        actor=actor,
        action=f"metering.{action}",
        subject=row.key.hex,
        detail={"reason": reason, "was": row.reason},
        now=now,
    )
