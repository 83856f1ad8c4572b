"""Reads of metering: settled buckets for billing, usage for pages, and the proof that roll-up = raw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection

from accounts.kernel.actor import Actor
from metering_ingest.models import Conflict, Meter, Quarantined
from metering_ingest.selectors_disputes import DisputeView as DisputeView  # noqa: PLC0414
from metering_ingest.selectors_disputes import disputes_many as disputes_many  # noqa: PLC0414
from metering_ingest.selectors_disputes import disputes_wanting_money as disputes_wanting_money  # noqa: PLC0414

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class SettledBucket:
    """One bucket as billing rates it: sums since the bucket began, so the newest version replaces earlier ones."""

    sequence: int
    bucket_id: int
    version: int
    allocation_id: UUID
    card_digest: str
    records: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    micro_st: int


@dataclass(frozen=True, slots=True)
class BucketView:
    """One bucket as it stands now, settled or not."""

    bucket_id: int
    allocation_id: UUID
    card_digest: str
    meter: str
    records: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    micro_st: int
    settled: bool
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class RecordView:
    """One usage record as its owner sees it."""

    source: str
    event_id: str
    request_id: str
    meter: str
    allocation_id: UUID
    card_digest: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    micro_st: int
    occurred_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold, and the row that breaks it."""

    rule: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over one meter's records."""

    records: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    micro_st: int


def settled_after(sequence: int, *, limit: int = 1_000) -> list[SettledBucket]:
    """The gateway's settled buckets after a sequence, in order; what billing pulls behind its watermark.

    Other meters' buckets are witnesses and are never rated.
    """
    return _rows(
        SettledBucket,
        """
        SELECT s.sequence, s.bucket_id, s.version, b.allocation_id, b.card_digest, s.records, s.prompt_tokens,
               s.cached_tokens, s.completion_tokens, s.micro_st
        FROM metering_settled_bucket s JOIN metering_bucket b ON b.id = s.bucket_id
        WHERE s.sequence > %s AND b.meter = 'gateway' ORDER BY s.sequence LIMIT %s
        """,
        [sequence, limit],
    )


def latest_settled(allocation_ids: Sequence[UUID]) -> list[SettledBucket]:
    """The newest settled state of each gateway bucket of these allocations, by sequence."""
    return _rows(
        SettledBucket,
        """
        SELECT * FROM (
            SELECT DISTINCT ON (s.bucket_id) s.sequence, s.bucket_id, s.version, b.allocation_id, b.card_digest,
                   s.records, s.prompt_tokens, s.cached_tokens, s.completion_tokens, s.micro_st
            FROM metering_settled_bucket s JOIN metering_bucket b ON b.id = s.bucket_id
            WHERE b.allocation_id = ANY(%s) AND b.meter = 'gateway'
            ORDER BY s.bucket_id, s.version DESC
        ) newest ORDER BY sequence
        """,
        [list(allocation_ids)],
    )


def last_settled_sequence() -> int:
    """The newest settled sequence, 0 before the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last FROM metering_settle_counter WHERE id = 1")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def buckets_of(allocation_ids: Sequence[UUID], *, meter: str = Meter.GATEWAY) -> list[BucketView]:
    """The buckets of these allocations as one meter counted them. The caller owns the allocations."""
    return _rows(
        BucketView,
        """
        SELECT id, allocation_id, card_digest, meter, records, prompt_tokens, cached_tokens, completion_tokens,
               micro_st, settled_version = version, changed_at
        FROM metering_bucket WHERE allocation_id = ANY(%s) AND meter = %s ORDER BY id
        """,
        [list(allocation_ids), meter],
    )


def records_of(allocation_ids: Sequence[UUID], *, meter: str = Meter.GATEWAY, limit: int = 100) -> list[RecordView]:
    """The newest usage records of these allocations, newest first. The caller owns the allocations."""
    return _rows(
        RecordView,
        """
        SELECT source, event_id, request_id, meter, allocation_id, card_digest, prompt_tokens, cached_tokens,
               billable_tokens, micro_st, occurred_at, received_at
        FROM metering_usage_record WHERE allocation_id = ANY(%s) AND meter = %s
        ORDER BY received_at DESC, key LIMIT %s
        """,
        [list(allocation_ids), meter, limit],
    )


def totals(*, meter: str = Meter.GATEWAY) -> Totals:
    """Sums over all records of one meter, read from the raw records."""
    (found,) = _rows(
        Totals,
        """
        SELECT count(*), coalesce(sum(prompt_tokens), 0)::bigint, coalesce(sum(cached_tokens), 0)::bigint,
               coalesce(sum(billable_tokens), 0)::bigint, coalesce(sum(micro_st), 0)::bigint
        FROM metering_usage_record WHERE meter = %s
        """,
        [meter],
    )
    return found


def quarantined(actor: Actor, *, limit: int = 100) -> list[Quarantined]:
    """The actor's own events that were set aside, newest first."""
    return list(Quarantined.objects.filter(tenant=actor.organisation_id).order_by("-received_at", "key")[:limit])


def conflicts(actor: Actor, *, limit: int = 100) -> list[Conflict]:
    """The actor's own events that contradict an earlier one, newest first."""
    return list(Conflict.objects.filter(tenant=actor.organisation_id).order_by("-id")[:limit])


def verify() -> list[Breach]:
    """Roll-up = raw; every key stands for exactly one record or quarantine row; settled never beyond the bucket."""
    found: list[Breach] = []
    with connection.cursor() as cursor:
        cursor.execute(_ROLL_UP_DIFFERS)
        found += [Breach("roll-up = raw", f"bucket {row[0]}", f"roll-up {row[1]}, raw {row[2]}") for row in cursor]
        cursor.execute(_KEY_UNUSED)
        found += [Breach("one key, one record", f"key {row[0]}", f"{row[1]} rows") for row in cursor]
        cursor.execute(_SETTLED_GAP)
        found += [Breach("settled sequence contiguous", f"sequence {row[0]}", "a gap before it") for row in cursor]
        cursor.execute(_SETTLED_BEYOND)
        found += [Breach("settled <= bucket", f"sequence {row[0]}", f"version {row[1]}") for row in cursor]
    return found


_ROLL_UP_DIFFERS = """
WITH raw AS (
    SELECT allocation_id, card_digest, meter, count(*) AS records, sum(prompt_tokens) AS p, sum(cached_tokens) AS c,
           sum(billable_tokens) AS g, sum(micro_st) AS s
    FROM metering_usage_record GROUP BY 1, 2, 3
)
SELECT coalesce(b.id::text, raw.allocation_id::text),
       concat_ws('/', b.records, b.prompt_tokens, b.cached_tokens, b.completion_tokens, b.micro_st),
       concat_ws('/', raw.records, raw.p, raw.c, raw.g, raw.s)
FROM metering_bucket b FULL JOIN raw USING (allocation_id, card_digest, meter)
WHERE (b.records, b.prompt_tokens, b.cached_tokens, b.completion_tokens, b.micro_st)
      IS DISTINCT FROM (raw.records, raw.p, raw.c, raw.g, raw.s)
LIMIT 100
"""

_KEY_UNUSED = """
SELECT k.key, count(r.key) + count(q.key)
FROM metering_usage_key k
LEFT JOIN metering_usage_record r ON r.key = k.key AND r.arrived_on = k.arrived_on
LEFT JOIN metering_quarantine q ON q.key = k.key
GROUP BY k.key HAVING count(r.key) + count(q.key) <> 1 LIMIT 100
"""

_SETTLED_GAP = """
SELECT sequence FROM (
    SELECT sequence, lag(sequence, 1, 0::bigint) OVER (ORDER BY sequence) AS previous FROM metering_settled_bucket
) s WHERE sequence <> previous + 1 LIMIT 100
"""

_SETTLED_BEYOND = """
SELECT s.sequence, s.version FROM metering_settled_bucket s JOIN metering_bucket b ON b.id = s.bucket_id
WHERE s.version > b.settled_version OR s.records > b.records OR s.prompt_tokens > b.prompt_tokens
    OR s.cached_tokens > b.cached_tokens OR s.completion_tokens > b.completion_tokens OR s.micro_st > b.micro_st
    OR s.version = b.version AND (s.records, s.prompt_tokens, s.cached_tokens, s.completion_tokens, s.micro_st)
        <> (b.records, b.prompt_tokens, b.cached_tokens, b.completion_tokens, b.micro_st)
ORDER BY s.sequence LIMIT 100
"""


def _rows(kind: type[_Row], sql: str, parameters: Sequence[Any]) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [kind(*row) for row in cursor]
