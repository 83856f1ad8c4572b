"""Reads of disputes: what billing freezes and settles, and what each party may see."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Prefetch, Q, QuerySet

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from metering_ingest.kernel import dispute_rules
from metering_ingest.reconciliation_models import Dispute, DisputeEvidence


class NoSuchDispute(DomainError):
    """There is none, or it is other parties'."""

    code = "not_found"
    status = 404


@dataclass(frozen=True, slots=True)
class DisputeView:
    """A dispute as billing sees it: what to set aside, and what the buyer gets back of it once it is resolved."""

    id: UUID
    allocation_id: UUID
    buyer_id: UUID
    seller_id: UUID
    freeze_micro_st: int
    state: str
    credited_micro_st: int | None
    opened_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class EventView:
    """One step of a dispute: its kind, by which side, what was said, when."""

    kind: str
    by: str
    note: str
    detail: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class DisputeDetail:
    """A dispute as a party sees it. `side` is the reader's: buyer, seller, operator."""

    id: UUID
    allocation_id: UUID
    side: str
    opened_by: str
    causes: tuple[str, ...]
    freeze_micro_st: int
    claim_micro_st: int
    state: str
    deadline_at: datetime | None
    proposed_credit_micro_st: int | None
    proposed_amendments: int
    proposed_rules: tuple[str, ...]
    credited_micro_st: int | None
    amended: bool
    opened_at: datetime
    resolved_at: datetime | None
    minutes: tuple[datetime, ...]
    events: tuple[EventView, ...]
    evidence_sha256: str
    accepted_by: tuple[str, ...]


def disputes_wanting_money(known: Collection[UUID]) -> list[DisputeView]:
    """Disputes that were ever opened about an amount and are not among the known ones, oldest first."""
    rows = Dispute.objects.filter(freeze_micro_st__gt=0).exclude(id__in=known)
    return [_view(row) for row in rows.order_by("opened_at", "id")]


def disputes_many(ids: Collection[UUID]) -> dict[UUID, DisputeView]:
    """Those of these disputes that exist, by id."""
    return {row.id: _view(row) for row in Dispute.objects.filter(id__in=ids)}


def committed_micro_st(allocation_id: UUID) -> int:
    """What of an allocation's count is frozen or was given back already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(coalesce(credited_micro_st, freeze_micro_st)), 0)::bigint FROM metering_dispute "
            "WHERE allocation_id = %s",
            [allocation_id],
        )
        return int(cursor.fetchone()[0])


def disputes(
    actor: Actor, *, state: str = "", allocation_id: UUID | None = None, before: UUID | None = None, limit: int = 50
) -> list[DisputeDetail]:
    """The actor's own disputes, newest first; the operator sees all."""
    rows = _mine(actor)
    if state:
        rows = rows.filter(state=state)
    if allocation_id is not None:
        rows = rows.filter(allocation_id=allocation_id)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return [_detail(row, actor) for row in _whole(rows).order_by("-id")[:limit]]


def dispute(dispute_id: UUID, actor: Actor) -> DisputeDetail:
    """One dispute of the actor's own.

    :raises NoSuchDispute: there is none, or it is other parties'.
    """
    row = _whole(_mine(actor)).filter(id=dispute_id).first()
    if row is None:
        raise NoSuchDispute("There is no such dispute.")
    return _detail(row, actor)


def evidence(dispute_id: UUID, actor: Actor) -> tuple[str, bytes]:
    """The newest evidence of a dispute: its SHA-256 and the JSON text.

    :raises NoSuchDispute: there is none, or it is other parties'.
    """
    row = DisputeEvidence.objects.filter(dispute__in=_mine(actor), dispute_id=dispute_id).order_by("-id").first()
    if row is None:
        raise NoSuchDispute("There is no such dispute.")
    return row.sha256, bytes(row.content)


def side_of(actor: Actor, *, buyer_id: UUID, seller_id: UUID) -> str | None:
    """Which side the actor is on; None for a stranger."""
    if actor.organisation_kind == "operator":
        return dispute_rules.OPERATOR
    return {seller_id: dispute_rules.SELLER, buyer_id: dispute_rules.BUYER}.get(actor.organisation_id)


def _mine(actor: Actor) -> QuerySet[Dispute]:
    if actor.organisation_kind == "operator":
        return Dispute.objects.all()
    return Dispute.objects.filter(Q(buyer_id=actor.organisation_id) | Q(seller_id=actor.organisation_id))


def _whole(rows: QuerySet[Dispute]) -> QuerySet[Dispute]:
    evidence = DisputeEvidence.objects.only("dispute_id", "sha256").order_by("id")
    return rows.prefetch_related("minutes", "events", Prefetch("evidence", evidence))


def _view(row: Dispute) -> DisputeView:
    return DisputeView(
        row.id, row.allocation_id, row.buyer_id, row.seller_id, row.freeze_micro_st, row.state, row.credited_micro_st,
        row.opened_at, row.resolved_at,
    )  # fmt: skip


def _detail(row: Dispute, actor: Actor) -> DisputeDetail:
    side = side_of(actor, buyer_id=row.buyer_id, seller_id=row.seller_id)
    assert side is not None, "only own disputes are read"
    events = sorted(row.events.all(), key=lambda one: one.id)
    evidence = list(row.evidence.all())
    return DisputeDetail(
        id=row.id,
        allocation_id=row.allocation_id,
        side=side,
        opened_by=row.opened_by,
        causes=tuple(row.causes.split()),
        freeze_micro_st=row.freeze_micro_st,
        claim_micro_st=row.claim_micro_st,
        state=row.state,
        deadline_at=row.deadline_at,
        proposed_credit_micro_st=row.proposed_credit_micro_st,
        proposed_amendments=len(row.proposed_amendments),
        proposed_rules=tuple(row.proposed_rules.split()),
        credited_micro_st=row.credited_micro_st,
        amended=row.amended,
        opened_at=row.opened_at,
        resolved_at=row.resolved_at,
        minutes=tuple(sorted(one.minute for one in row.minutes.all())),
        events=tuple(EventView(one.kind, one.by, one.note, one.detail, one.at) for one in events),
        evidence_sha256=evidence[-1].sha256 if evidence else "",
        accepted_by=tuple(sorted(one.by for one in events if one.kind == "accepted")),
    )
