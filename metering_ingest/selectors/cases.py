"""What waits for somebody: quarantine, conflicts, gaps; and the receipt of a record."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from metering_ingest.models import Conflict, Proof, Quarantined, Resolution


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


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """A record as it is stored. `standing` is counted, voided, void, quarantined or rejected."""

    record: str
    content: str
    standing: str
    source: str
    id: str
    meter: str | None
    evidence: str | None
    micro_st: int | None
    reason: str | None
    received_at: datetime


class NoSuchRecord(DomainError):
    """There is no such record, or it is another organisation's."""

    code = "not_found"
    status = 404


def receipt(key: UUID, actor: Actor) -> ReceiptView:
    """A record of the actor's own organisation by its key; staff see all.

    :raises NoSuchRecord: see there.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RECEIPT, {"key": key, "tenant": None if actor.is_staff else actor.organisation_id})
        row = cursor.fetchone()
    if row is None:
        raise NoSuchRecord("There is no such record.")
    return ReceiptView(row[0].hex, row[1].hex, *row[2:])


_RECEIPT = """
WITH k AS (SELECT key, content, arrived_on FROM metering_usage_key WHERE key = %(key)s), found AS (
    SELECT r.tenant, CASE WHEN x.key IS NULL THEN 'counted' ELSE 'voided' END AS standing, r.source, r.event_id, r.meter,
        r.evidence, r.micro_st, NULL AS reason, r.received_at, 1 AS rank
    FROM k JOIN metering_usage_record r ON r.arrived_on = k.arrived_on AND r.key = k.key
    LEFT JOIN metering_reversal x ON x.key = k.key
    UNION ALL
    SELECT v.tenant, 'void', v.source, v.event_id, NULL, v.evidence, NULL, NULL, v.received_at, 1
    FROM k JOIN metering_void v ON v.key = k.key
    UNION ALL
    SELECT q.tenant, CASE s.action WHEN 'rejected' THEN 'rejected' ELSE 'quarantined' END, q.event ->> 'source',
        q.event ->> 'id', NULL, q.evidence, NULL, coalesce(s.reason, q.reason), q.received_at, 2
    FROM k JOIN metering_quarantine q ON q.key = k.key LEFT JOIN metering_resolution s ON s.key = k.key
)
SELECT k.key, k.content, f.standing, f.source, f.event_id, f.meter, f.evidence, f.micro_st, f.reason, f.received_at
FROM k, found f WHERE %(tenant)s::uuid IS NULL OR f.tenant = %(tenant)s ORDER BY f.rank LIMIT 1
"""


def quarantine_page(actor: Actor, *, cursor: str | None, limit: int) -> tuple[list[Quarantined], str | None]:
    """Waiting records, newest first, and the cursor of the following page.

    :raises ValueError: the cursor is not one that this gave.
    """
    rows = waiting_of(actor)
    if cursor is not None:
        instant, _, key = cursor.partition("_")
        at = datetime.fromtimestamp(int(instant) / 10**6, UTC) if instant.isascii() and len(instant) < 18 else None
        if at is None:
            raise ValueError("no cursor")
        rows = rows.filter(Q(received_at__lt=at) | Q(received_at=at, key__gt=UUID(hex=key)))
    found = list(rows.order_by("-received_at", "key")[: limit + 1])
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], f"{round(last.received_at.timestamp() * 10**6)}_{last.key.hex}"


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


def conflict_page(actor: Actor, *, before: int | None, limit: int) -> tuple[list[Conflict], int | None]:
    """Conflicts, newest first, and the number before which the following page begins."""
    rows = conflicts_of(actor)
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: limit + 1])
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def contents_of(keys: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """What stored records say, by key, under the names of `UsageEvent`. The caller owns the records."""
    with connection.cursor() as cursor:
        cursor.execute(_CONTENTS, {"keys": list(keys)})
        return {key: msgspec.json.decode(text) for key, text in cursor.fetchall()}


# A released record has its counts and its quarantine row; both say the same.
_CONTENTS = """
WITH k AS (SELECT key, arrived_on FROM metering_usage_key WHERE key = ANY(%(keys)s))
SELECT k.key, jsonb_build_object('source', r.source, 'id', r.event_id, 'time', r.occurred_at, 'subject', r.request_id,
    'allocation_id', r.allocation_id, 'card_digest', r.card_digest, 'prompt_tokens', r.prompt_tokens,
    'cached_tokens', r.cached_tokens, 'completion_tokens', r.completion_tokens, 'max_tokens', r.max_tokens,
    'finish_reason', r.finish_reason, 'started_at', r.started_at, 'finished_at', r.finished_at,
    'served_format', r.served_format, 'counted_by', r.counted_by, 'gpu_micros', r.gpu_micros,
    'draft_tokens', r.draft_tokens, 'accepted_tokens', r.accepted_tokens,
    'aggregate', CASE WHEN r.aggregate_records IS NULL THEN NULL
        ELSE jsonb_build_object('records', r.aggregate_records, 'digest', r.aggregate_digest) END)::text
FROM k JOIN metering_usage_record r ON r.arrived_on = k.arrived_on AND r.key = k.key
UNION ALL SELECT q.key, q.event::text FROM metering_quarantine q JOIN k ON k.key = q.key
    WHERE NOT EXISTS (SELECT 1 FROM metering_resolution s WHERE s.key = q.key AND s.action = 'released')
UNION ALL SELECT v.key, jsonb_build_object('source', v.source, 'id', v.event_id, 'time', v.occurred_at)::text
FROM metering_void v JOIN k ON k.key = v.key
"""


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


def last_proof() -> Proof | None:
    """The newest nightly proof."""
    return Proof.objects.order_by("-id").first()
