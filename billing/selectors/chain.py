"""What is behind an invoice line: rated lines, the buckets that they rate, and the usage records of a bucket.

The caller has entered through `invoice_row` with its actor; everything here hangs on a line of that invoice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Q, Sum

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from billing.models import AllocationPosting, InvoiceLine, RatedLine
from billing.selectors.rows import invoice_row

_Row = TypeVar("_Row")


class NoSuchLine(DomainError):
    """The invoice has no such line, or the line no such bucket."""

    code = "not_found"
    status = 404


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests with their model tokens and micro-ST."""

    records: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    micro_st: int


@dataclass(frozen=True, slots=True)
class ChainBucket:
    """A bucket as it was last settled, and what of it waits to be settled."""

    bucket_id: int
    version: int
    allocation_id: UUID
    card_digest: str
    settled: Counts
    waiting: Counts


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """One usage record of a bucket; `key` is its identity, `completion_tokens` those that may be billed."""

    key: UUID
    source: str
    event_id: str
    request_id: str
    occurred_at: datetime
    received_at: datetime
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    micro_st: int


@dataclass(frozen=True, slots=True)
class PostedView:
    """What all live lines of an allocation come to, exact (10^-18 yuan), and what of it is in the ledger.

    `elsewhere` is the part of the lines that stand behind another invoice line, or wait for an invoice.
    """

    exact: int
    elsewhere: int
    posted_micros: int


def line_row(invoice_id: UUID, number: int, *, actor: Actor) -> InvoiceLine:
    """One line of an invoice of the actor's organisation.

    :raises NoSuchInvoice: the invoice is unknown, or foreign.
    :raises NoSuchLine: it has no line of this number.
    """
    invoice = invoice_row(invoice_id, actor=actor)
    found = InvoiceLine.objects.filter(invoice=invoice, number=number).select_related("invoice").first()
    if found is None:
        raise NoSuchLine("This invoice has no such line.")
    return found


def rated_of(line: InvoiceLine, *, after: int = 0, limit: int | None = None) -> list[RatedLine]:
    """The rated lines that the line sums, by id."""
    return list(RatedLine.objects.filter(invoice_line=line, id__gt=after).order_by("id")[:limit])


def parts_of(bucket_ids: Collection[int]) -> list[RatedLine]:
    """All live rated lines of these buckets, whatever invoice has them, by id."""
    return list(RatedLine.objects.filter(bucket_id__in=list(bucket_ids), live=True).order_by("id"))


def posted(line: InvoiceLine, allocation_ids: Collection[UUID]) -> dict[UUID, PostedView]:
    """By allocation behind the line: the sum of its live lines, and its postings."""
    live = RatedLine.objects.filter(allocation_id__in=list(allocation_ids), live=True)
    sums = live.values_list("allocation_id").annotate(
        whole=Sum("exact"), other=Sum("exact", filter=~Q(invoice_line=line) | Q(invoice_line=None), default=0)
    )
    micros = dict(
        AllocationPosting.objects.filter(allocation_id__in=list(allocation_ids)).values_list(
            "allocation_id", "posted_micros"
        )
    )
    return {key: PostedView(int(exact), int(other), micros.get(key, 0)) for key, exact, other in sums}


def chain_buckets(bucket_ids: Collection[int]) -> list[ChainBucket]:
    """These buckets by id, each as last settled."""
    with connection.cursor() as cursor:
        cursor.execute(_BUCKETS, [list(bucket_ids)])
        return [
            ChainBucket(key, version, allocation, card, Counts(*counts[:5]), Counts(*counts[5:]))
            for key, version, allocation, card, *counts in cursor.fetchall()
        ]


def chain_records(bucket_id: int, *, after: UUID | None = None, limit: int) -> list[ChainRecord]:
    """The usage records of one bucket by key, from the one after `after`, without those that were taken back."""
    return _rows(ChainRecord, _RECORDS, [bucket_id, after or UUID(int=0), limit])


def _rows(kind: type[_Row], sql: str, values: Sequence[Any]) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [kind(*row) for row in cursor.fetchall()]


_BUCKETS = """
SELECT DISTINCT ON (b.id) b.id, s.version, b.allocation_id, b.card_digest,
       s.records, s.prompt_tokens, s.cached_tokens, s.completion_tokens, s.micro_st,
       b.records - s.records, b.prompt_tokens - s.prompt_tokens, b.cached_tokens - s.cached_tokens,
       b.completion_tokens - s.completion_tokens, b.micro_st - s.micro_st
FROM metering_bucket b JOIN metering_settled_bucket s ON s.bucket_id = b.id
WHERE b.id = ANY(%s) ORDER BY b.id, s.version DESC
"""

_RECORDS = """
SELECT r.key, r.source, r.event_id, r.request_id, r.occurred_at, r.received_at, r.prompt_tokens, r.cached_tokens,
       r.billable_tokens, r.micro_st
FROM metering_bucket b JOIN metering_usage_record r
    ON r.allocation_id = b.allocation_id AND r.card_digest = b.card_digest AND r.meter = b.meter
WHERE b.id = %s AND r.key > %s AND NOT EXISTS (SELECT 1 FROM metering_reversal v WHERE v.key = r.key) ORDER BY r.key LIMIT %s
"""
