"""Settled buckets for billing, and usage for pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection

from metering_ingest.models import Meter

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


@dataclass(frozen=True, slots=True)
class WitnessHour:
    """Tokens that an organisation's own telemetry counted in one hour."""

    hour: datetime
    metric: str
    token_type: str
    tokens: int


def witness_hours(organisation_id: UUID, *, since: datetime, limit: int = 1_000) -> list[WitnessHour]:
    """The totals of an organisation's token counters by hour, newest first; each in the hour in which its interval ends.

    A cumulative counter adds what it grew by since the point before.
    """
    return _rows(
        WitnessHour,
        """
        SELECT date_trunc('hour', w.ended_at, 'UTC'), w.metric, w.token_type,
               sum(greatest(0, w.value - coalesce(earlier.value, 0)))::bigint
        FROM metering_witness w LEFT JOIN LATERAL (
            SELECT p.value FROM metering_witness p
            WHERE w.cumulative AND p.tenant = w.tenant AND p.metric = w.metric AND p.token_type = w.token_type
                AND p.attributes = w.attributes AND p.started_at = w.started_at AND p.ended_at < w.ended_at
            ORDER BY p.ended_at DESC LIMIT 1) earlier ON true
        WHERE w.tenant = %s AND w.ended_at >= %s GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3 LIMIT %s
        """,
        [organisation_id, since, limit],
    )


def _rows(kind: type[_Row], sql: str, parameters: Sequence[Any]) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [kind(*row) for row in cursor]
