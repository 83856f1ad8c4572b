"""What waits for somebody: quarantine, conflicts, gaps; and the receipt of a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from accounts.kernel.actor import Actor
from metering_ingest.models import Conflict, Quarantined, Resolution


@dataclass(frozen=True, slots=True)
class EpochView:
    """One epoch of an agent: what arrived, and what did not up to its highest sequence or checkpoint."""

    id: int
    agent_id: UUID
    epoch: str
    received: int
    highest: int
    checkpoint_seq: int
    closed: bool
    missing: int
    gaps: tuple[tuple[int, int], ...]
    first_at: datetime
    last_at: datetime


def quarantined(actor: Actor, *, limit: int = 100) -> list[Quarantined]:
    """The actor's own records that were set aside and wait, newest first."""
    return list(waiting_of(actor).order_by("-received_at", "key")[:limit])


def waiting_of(actor: Actor) -> QuerySet[Quarantined]:
    """The quarantined records that nobody has resolved: staff see all, others their own."""
    return _seen_by(Quarantined.objects.exclude(Exists(Resolution.objects.filter(key=OuterRef("key")))), actor)


def conflicts(actor: Actor, *, limit: int = 100) -> list[Conflict]:
    """The actor's own events that contradict an earlier one, newest first."""
    return list(Conflict.objects.filter(tenant=actor.organisation_id).order_by("-id")[:limit])


def conflicts_of(actor: Actor) -> QuerySet[Conflict]:
    """Conflicts: staff see all, others their own."""
    return _seen_by(Conflict.objects.all(), actor)


def _seen_by(rows: QuerySet, actor: Actor) -> QuerySet:  # type: ignore[type-arg]
    return rows if actor.is_staff else rows.filter(tenant=actor.organisation_id)


def epochs_of(agent_ids: Sequence[UUID], *, most_gaps: int = 1_000) -> list[EpochView]:
    """The epochs of these agents, the latest first, each with its first gaps. The caller owns the agents."""
    with connection.cursor() as cursor:
        cursor.execute(_EPOCHS, [most_gaps, list(agent_ids)])
        return [_epoch(row) for row in cursor.fetchall()]


def _epoch(row: Any) -> EpochView:
    ranges = tuple((first, last) for first, last in row[8])
    return EpochView(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], ranges, row[9], row[10])


_EPOCHS = """
SELECT e.id, e.agent_id, e.epoch,
    (SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(e.received) AS r)::bigint,
    coalesce(upper(e.received) - 1, 0), e.checkpoint_seq, e.closed,
    (SELECT coalesce(sum(upper(g) - lower(g)), 0) FROM unnest(whole.expected - e.received) AS g)::bigint,
    ARRAY(SELECT ARRAY[lower(g), upper(g) - 1] FROM unnest(whole.expected - e.received) AS g
          ORDER BY lower(g) LIMIT %s),
    e.first_at, e.last_at
FROM metering_epoch e,
    LATERAL (SELECT int8multirange(int8range(1, greatest(e.checkpoint_seq, upper(e.received) - 1, 0), '[]')) AS expected)
        whole
WHERE e.agent_id = ANY(%s) ORDER BY e.last_at DESC, e.id DESC
"""
