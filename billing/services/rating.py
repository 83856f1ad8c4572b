"""Rating: settled buckets and the market's charges become rated lines, and their money leaves the holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing import locks
from billing.kernel import charges, rating
from billing.kernel.periods import market_date
from billing.kernel.rounding import EXACT_PER_MICRO
from billing.kernel.tokens import TokenCounts
from billing.models import RatedLine, RatingException
from billing.services import posting
from market import selectors as market
from market.selectors import AllocationView, ChargeView
from metering_ingest import selectors as metering
from metering_ingest.selectors import SettledBucket

_Key = tuple[int | None, int | None, UUID]  # bucket, charge, allocation


@dataclass(frozen=True)
class _Group:
    """Everything of one buyer and product: rating looks at it whole, because surplus crosses allocations."""

    organisation_id: UUID
    product_id: UUID
    allocations: dict[UUID, AllocationView]
    buckets: list[SettledBucket]
    charges: list[ChargeView]


def rate_settled(*, now: datetime, limit: int = 2_000) -> int:
    """Rate the settled buckets and the charges after their watermarks; gives how many were read.

    Watermarks, rated lines and ledger postings move in one transaction. A group
    that cannot be rated is parked as a rating exception and holds up nobody.
    """
    read = 0
    while True:
        with transaction.atomic():
            watermark = locks.rating_watermark()
            settled = metering.settled_after(watermark.sequence, limit=limit)
            charged = market.charges_after(watermark.charge_id, limit=limit)
            if not settled and not charged:
                return read
            touched = {one.allocation_id for one in settled} | {one.allocation_id for one in charged}
            changed = {one for group in _groups(touched) for one in _rate_group(group, now)}
            posting.post_usage(changed, now=now)
            watermark.sequence = settled[-1].sequence if settled else watermark.sequence
            watermark.charge_id = charged[-1].id if charged else watermark.charge_id
            watermark.save(update_fields=["sequence", "charge_id"])
        read += len(settled) + len(charged)


def _groups(allocation_ids: set[UUID]) -> list[_Group]:
    touched = market.allocations_many(allocation_ids)
    pairs = sorted({(allocation.buyer_id, allocation.product_id) for allocation in touched.values()})
    groups = []
    for buyer_id, product_id in pairs:
        allocations = {a.id: a for a in market.product_fills(buyer_id, product_id)}
        buckets = metering.latest_settled(list(allocations))
        groups.append(_Group(buyer_id, product_id, allocations, buckets, market.charges_of(list(allocations))))
    return groups


def _rate_group(group: _Group, now: datetime) -> set[UUID]:
    """Bring the group's waiting lines in line with its buckets and charges; gives the allocations that changed.

    What an invoice has is settled for good: only the rest is rated, over the rest of what was bought.
    """
    current = locks.live_lines(group.organisation_id, group.product_id)
    waiting = {_key(line): line for line in current if not line.invoice_line_id}
    rest = _rest(group, [line for line in current if line.invoice_line_id])
    if rest is None:
        _park(group, "below_invoiced", "a bucket counts less than an invoice already has of it", now)
        return set()
    parts = rating.rate(rest.buckets, rest.allocations, rest.fills)
    wanted = [*_usage(group, parts, now), *_charges(group, rest, parts, now)]
    if not _above_what_is_settled(group, [*wanted, *(line for line in current if line.invoice_line_id)]):
        _park(group, "below_closed", "a correction takes back what a closed day or a dispute already has", now)
        return set()
    if any(part.source is rating.Source.OVERFLOW for part in parts):
        _park(group, "overflow", "usage beyond everything that was bought", now)
    else:
        _resolve(group, now)
    return _replace(waiting, wanted)


def _replace(waiting: dict[_Key, RatedLine], wanted: Iterable[RatedLine]) -> set[UUID]:
    """Keep the lines that say the same, end the others, and add what is new; gives the allocations that changed."""
    new: list[RatedLine] = []
    for line in wanted:
        old = waiting.get(_key(line))
        if old and _says_the_same(old, line):
            del waiting[_key(line)]
        else:
            new.append(line)
    RatedLine.objects.filter(id__in=[line.id for line in waiting.values()]).update(live=False)
    RatedLine.objects.bulk_create(new)
    return {line.allocation_id for line in (*waiting.values(), *new)}


def _above_what_is_settled(group: _Group, lines: Iterable[RatedLine]) -> bool:
    exact: dict[UUID, int] = defaultdict(int)
    for line in lines:
        exact[line.allocation_id] += int(line.exact)
    settled = posting.settled_for_good(list(group.allocations))
    return all(exact[one] // EXACT_PER_MICRO >= micros for one, micros in settled.items())


@dataclass(frozen=True)
class _Rest:
    """Usage, purchases and charges less what invoices have of them."""

    buckets: list[rating.Bucket]
    allocations: list[rating.Allocation]
    fills: list[rating.Fill]
    undrawn: list[charges.Undrawn]
    fees: list[ChargeView]


def _rest(group: _Group, invoiced: Iterable[RatedLine]) -> _Rest | None:
    """What is still to be rated; None if an invoice has more of a bucket than was used."""
    of_bucket: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    of_charge: dict[int, int] = defaultdict(int)
    of_allocation: dict[UUID, int] = defaultdict(int)
    for line in invoiced:
        of_allocation[line.allocation_id] += line.micro_st
        if line.bucket_id is None:
            of_charge[line.charge_id or 0] += line.micro_st
            continue
        amounts = (line.micro_st, line.input_tokens, line.cached_tokens, line.output_tokens)
        of_bucket[line.bucket_id] = [old + one for old, one in zip(of_bucket[line.bucket_id], amounts, strict=True)]
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
    # What was cancelled serves nobody any more.
    # Nor does what fell short: it left the allocation and its hold.
    bought = [
        (a, 0 if a.cancelled_at else max(0, a.quantity_st * 10**6 - a.short_micro_st - of_allocation[a.id]))
        for a in group.allocations.values()
    ]
    open_ = [replace(one, micro_st=one.micro_st - of_charge[one.id]) for one in group.charges]
    return _Rest(
        buckets,
        [rating.Allocation(a.id, a.id, micro_st) for a, micro_st in bought],
        [rating.Fill(a.id, a.round_number, micro_st, a.price_micros) for a, micro_st in bought],
        [charges.Undrawn(c.id, c.allocation_id, c.micro_st) for c in open_ if c.kind == RatedLine.Source.TAKE_OR_PAY],
        [c for c in open_ if c.kind == RatedLine.Source.CANCELLATION and c.micro_st],
    )


def _usage(group: _Group, parts: Sequence[rating.RatedPart], now: datetime) -> Iterator[RatedLine]:
    """A line for each part of a bucket; overflow has no price, and no line."""
    versions = {bucket.bucket_id: bucket.version for bucket in group.buckets}
    for part in parts:
        if part.fill_id is not None:
            price = group.allocations[part.fill_id].price_micros
            line = _line(group, part.fill_id, part.source.value, part.micro_st, now=now)
            line.bucket_id, line.version = part.bucket_id, versions[part.bucket_id]
            line.price_micros, line.exact = price, part.micro_st * price
            line.input_tokens, line.cached_tokens = part.tokens.input, part.tokens.cached
            line.output_tokens = part.tokens.output
            yield line


def _charges(group: _Group, rest: _Rest, parts: Sequence[rating.RatedPart], now: datetime) -> Iterator[RatedLine]:
    """A line for each part of what was bought and not drawn, and for each fee."""
    left = {fill.fill_id: fill.micro_st for fill in rest.fills}
    for part in parts:
        if part.fill_id is not None:
            left[part.fill_id] -= part.micro_st
    for one in charges.place(rest.undrawn, left):
        price = group.allocations[one.allocation_id].price_micros
        line = _line(group, one.allocation_id, RatedLine.Source.TAKE_OR_PAY, one.micro_st, now=now)
        line.charge_id, line.price_micros, line.exact = one.charge_id, price, one.micro_st * price
        yield line
    for fee in rest.fees:
        line = _line(group, fee.allocation_id, RatedLine.Source.CANCELLATION, fee.micro_st, now=now)
        line.charge_id, line.price_micros, line.exact = fee.id, fee.price_micros, fee.exact
        yield line


def _key(line: RatedLine) -> _Key:
    return line.bucket_id, line.charge_id, line.allocation_id


def _says_the_same(old: RatedLine, new: RatedLine) -> bool:
    return (old.micro_st, int(old.exact), _tokens(old)) == (new.micro_st, new.exact, _tokens(new))


def _tokens(line: RatedLine) -> TokenCounts:
    return TokenCounts(line.input_tokens, line.cached_tokens, line.output_tokens)


def _line(group: _Group, allocation_id: UUID, source: str, micro_st: int, *, now: datetime) -> RatedLine:
    """A line without its origin, its amount and its tokens."""
    allocation = group.allocations[allocation_id]
    return RatedLine(
        version=0,
        organisation_id=group.organisation_id,
        seller_id=allocation.seller_id,
        allocation_id=allocation_id,
        product_id=group.product_id,
        source=source,
        line=allocation.line,
        grade=allocation.grade,
        delivery_date=market_date(allocation.window_start),
        micro_st=micro_st,
        input_tokens=0,
        cached_tokens=0,
        output_tokens=0,
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
