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


Part = tuple[int, UUID]  # bucket, allocation consumed


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
    """Bring the group's live lines in line with its buckets; gives the lines that are new."""
    wanted = _wanted(group)
    current = locks.live_lines(group.organisation_id, group.product_id)
    invoiced: dict[Part, list[RatedLine]] = defaultdict(list)
    waiting: dict[Part, RatedLine] = {}
    for line in current:
        part = (line.bucket_id, line.allocation_id)
        if line.invoice_line_id:
            invoiced[part].append(line)
        else:
            waiting[part] = line
    versions = {bucket.bucket_id: bucket.version for bucket in group.buckets}
    new: list[RatedLine] = []
    for part, rated in wanted.items():
        rest = _less(rated, invoiced.pop(part, []))
        if rest is None:
            _park(group, "below_invoiced", f"bucket {part[0]}: fewer standard tokens than an invoice already has", now)
            return []
        old = waiting.get(part)
        if old and (old.micro_st, _tokens(old)) == (rest.micro_st, rest.tokens):
            waiting.pop(part)
        elif rest.micro_st:
            new.append(_line(group, part, rest, version=versions[part[0]], now=now))
    if invoiced:
        _park(group, "below_invoiced", f"buckets {sorted({b for b, _ in invoiced})} lost a part that was invoiced", now)
        return []
    if any(part.source is rating.Source.OVERFLOW for part in _rated(group)):
        _park(group, "overflow", "usage beyond everything that was bought", now)
    RatedLine.objects.filter(id__in=[line.id for line in waiting.values()]).update(live=False)
    return RatedLine.objects.bulk_create(new)


def _rated(group: _Group) -> tuple[rating.RatedPart, ...]:
    used = {bucket.allocation_id for bucket in group.buckets}
    windows = {a.id: a.window_start for a in group.allocations.values()}
    assert used <= windows.keys(), "every bucket belongs to an allocation of its group"
    return rating.rate(
        [
            rating.Bucket(
                b.bucket_id,
                windows[b.allocation_id],
                b.allocation_id,
                b.micro_st,
                TokenCounts(b.prompt_tokens - b.cached_tokens, b.cached_tokens, b.completion_tokens),
            )
            for b in group.buckets
        ],
        [rating.Allocation(a.id, a.id, a.quantity_st * 10**6) for a in group.allocations.values()],
        [rating.Fill(a.id, a.round_number, a.quantity_st * 10**6, a.price_micros) for a in group.allocations.values()],
    )


def _wanted(group: _Group) -> dict[Part, rating.RatedPart]:
    """What the group's usage costs by (bucket, allocation); overflow has no price and stays out."""
    return {(part.bucket_id, part.fill_id): part for part in _rated(group) if part.fill_id is not None}


@dataclass(frozen=True)
class _Rest:
    source: rating.Source
    micro_st: int
    tokens: TokenCounts


def _less(part: rating.RatedPart, invoiced: Iterable[RatedLine]) -> _Rest | None:
    """What of a part no invoice has yet; None if an invoice has more than the part."""
    micro_st, tokens = part.micro_st, part.tokens
    counts = [tokens.input, tokens.cached, tokens.output]
    for line in invoiced:
        micro_st -= line.micro_st
        for position, taken in enumerate((line.input_tokens, line.cached_tokens, line.output_tokens)):
            counts[position] -= taken
    if micro_st < 0 or (micro_st and min(counts) < 0):
        return None
    return _Rest(part.source, micro_st, TokenCounts(*counts) if micro_st else TokenCounts())


def _tokens(line: RatedLine) -> TokenCounts:
    return TokenCounts(line.input_tokens, line.cached_tokens, line.output_tokens)


def _line(group: _Group, part: Part, rest: _Rest, *, version: int, now: datetime) -> RatedLine:
    bucket_id, allocation_id = part
    allocation = group.allocations[allocation_id]
    return RatedLine(
        bucket_id=bucket_id,
        version=version,
        organisation_id=group.organisation_id,
        seller_id=allocation.seller_id,
        allocation_id=allocation_id,
        product_id=group.product_id,
        source=rest.source.value,
        line=allocation.line,
        grade=allocation.grade,
        delivery_date=market_date(allocation.window_start),
        micro_st=rest.micro_st,
        price_micros=allocation.price_micros,
        exact=rest.micro_st * allocation.price_micros,
        input_tokens=rest.tokens.input,
        cached_tokens=rest.tokens.cached,
        output_tokens=rest.tokens.output,
        rated_at=now,
    )


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
