"""Rating: settled buckets become rated lines, and their money leaves the allocations' holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing import locks
from billing.kernel import rating
from billing.kernel.periods import market_date
from billing.kernel.tokens import TokenCounts
from billing.models import RatedLine, RatingException
from billing.services import posting
from market import selectors as market
from market.selectors import AllocationView
from metering_ingest import selectors as metering
from metering_ingest.selectors import SettledBucket


@dataclass(frozen=True)
class _Group:
    """Everything of one buyer and product: rating looks at it whole, because surplus crosses allocations."""

    organisation_id: UUID
    product_id: UUID
    allocations: dict[UUID, AllocationView]
    buckets: list[SettledBucket]


def rate_settled(*, now: datetime, limit: int = 2_000) -> int:
    """Rate the settled buckets after the watermark; gives how many were read.

    Watermark, rated lines and ledger postings move in one transaction. A group
    that cannot be rated is parked as a rating exception and holds up nobody.
    """
    read = 0
    while True:
        with transaction.atomic():
            watermark = locks.rating_watermark()
            settled = metering.settled_after(watermark.sequence, limit=limit)
            if not settled:
                return read
            changed = [line for group in _groups(settled) for line in _rate_group(group, now)]
            posting.post_usage({line.allocation_id for line in changed}, now=now)
            watermark.sequence = settled[-1].sequence
            watermark.save(update_fields=["sequence"])
        read += len(settled)


def _groups(settled: Sequence[SettledBucket]) -> list[_Group]:
    touched = market.allocations_many({bucket.allocation_id for bucket in settled})
    pairs = sorted({(allocation.buyer_id, allocation.product_id) for allocation in touched.values()})
    groups = []
    for buyer_id, product_id in pairs:
        allocations = {a.id: a for a in market.product_fills(buyer_id, product_id)}
        buckets = metering.latest_settled(list(allocations))
        groups.append(_Group(buyer_id, product_id, allocations, buckets))
    return groups


def _rate_group(group: _Group, now: datetime) -> list[RatedLine]:
    """Bring the group's waiting lines in line with its buckets; gives the lines that are new.

    What an invoice has is settled for good: only the rest of the usage is rated, over the rest of what was bought.
    """
    current = locks.live_lines(group.organisation_id, group.product_id)
    waiting = {(line.bucket_id, line.allocation_id): line for line in current if not line.invoice_line_id}
    rest = _rest(group, [line for line in current if line.invoice_line_id])
    if rest is None:
        _park(group, "below_invoiced", "a bucket counts less than an invoice already has of it", now)
        return []
    versions = {bucket.bucket_id: bucket.version for bucket in group.buckets}
    parts = rating.rate(*rest)
    new: list[RatedLine] = []
    for part in parts:
        if part.fill_id is None:
            continue  # overflow has no price
        old = waiting.get((part.bucket_id, part.fill_id))
        if old and (old.micro_st, _tokens(old)) == (part.micro_st, part.tokens):
            del waiting[(part.bucket_id, part.fill_id)]
        else:
            new.append(_line(group, part, part.fill_id, version=versions[part.bucket_id], now=now))
    if any(part.source is rating.Source.OVERFLOW for part in parts):
        _park(group, "overflow", "usage beyond everything that was bought", now)
    else:
        _resolve(group, now)
    RatedLine.objects.filter(id__in=[line.id for line in waiting.values()]).update(live=False)
    return RatedLine.objects.bulk_create(new)


_Rest = tuple[list[rating.Bucket], list[rating.Allocation], list[rating.Fill]]


def _rest(group: _Group, invoiced: Iterable[RatedLine]) -> _Rest | None:
    """Usage and purchases less what invoices have of them; None if an invoice has more than was used."""
    of_bucket: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    of_allocation: dict[UUID, int] = defaultdict(int)
    for line in invoiced:
        amounts = (line.micro_st, line.input_tokens, line.cached_tokens, line.output_tokens)
        of_bucket[line.bucket_id] = [old + one for old, one in zip(of_bucket[line.bucket_id], amounts, strict=True)]
        of_allocation[line.allocation_id] += line.micro_st
    buckets = []
    for b in group.buckets:
        counted = (b.micro_st, b.prompt_tokens - b.cached_tokens, b.cached_tokens, b.completion_tokens)
        left = [whole - gone for whole, gone in zip(counted, of_bucket.pop(b.bucket_id, [0] * 4), strict=True)]
        if min(left) < 0:
            return None
        start = group.allocations[b.allocation_id].window_start
        buckets.append(rating.Bucket(b.bucket_id, start, b.allocation_id, left[0], TokenCounts(*left[1:])))
    if of_bucket:
        return None
    bought = [(a, a.quantity_st * 10**6 - of_allocation[a.id]) for a in group.allocations.values()]
    return (
        buckets,
        [rating.Allocation(a.id, a.id, micro_st) for a, micro_st in bought],
        [rating.Fill(a.id, a.round_number, micro_st, a.price_micros) for a, micro_st in bought],
    )


def _tokens(line: RatedLine) -> TokenCounts:
    return TokenCounts(line.input_tokens, line.cached_tokens, line.output_tokens)


def _line(group: _Group, part: rating.RatedPart, allocation_id: UUID, *, version: int, now: datetime) -> RatedLine:
    allocation = group.allocations[allocation_id]
    return RatedLine(
        bucket_id=part.bucket_id,
        version=version,
        organisation_id=group.organisation_id,
        seller_id=allocation.seller_id,
        allocation_id=allocation_id,
        product_id=group.product_id,
        source=part.source.value,
        line=allocation.line,
        grade=allocation.grade,
        delivery_date=market_date(allocation.window_start),
        micro_st=part.micro_st,
        price_micros=allocation.price_micros,
        exact=part.micro_st * allocation.price_micros,
        input_tokens=part.tokens.input,
        cached_tokens=part.tokens.cached,
        output_tokens=part.tokens.output,
        rated_at=now,
    )


def _resolve(group: _Group, now: datetime) -> None:
    """All of the group is rated again: what was parked is settled."""
    RatingException.objects.filter(
        organisation_id=group.organisation_id, product_id=group.product_id, resolved_at__isnull=True
    ).update(resolved_at=now)


def _park(group: _Group, reason: str, detail: str, now: datetime) -> None:
    RatingException.objects.bulk_create(
        [
            RatingException(
                organisation_id=group.organisation_id,
                product_id=group.product_id,
                reason=reason,
                detail=detail,
                noticed_at=now,
            )
        ],
        ignore_conflicts=True,
    )
