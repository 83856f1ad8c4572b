"""Which fill pays for which usage: the waterfall of one buyer and one product.

Usage consumes its own allocation first. What is over goes to the fills of the
same buyer and product by round, then fill id, and what no fill covers is
overflow. Own claims are all served before any surplus, so that surplus never
takes what another allocation's usage was sold.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from billing.kernel import tokens
from billing.kernel.rounding import refuse_negative
from billing.kernel.tokens import NO_TOKENS, TokenCounts


class RatingError(ValueError):
    """The rows given do not fit together."""

    code = "rating_input"


class UnpricedOverflow(RatingError):
    """Usage beyond all fills, and the product has no posted overflow price."""

    code = "unpriced_overflow"


@dataclass(frozen=True, slots=True)
class Fill:
    """A one-sided purchase: quantity in micro-ST, price in micro-yuan per million ST."""

    fill_id: UUID
    round_number: int
    micro_st: int
    price_micros: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """The share of a fill that one provider delivers, in micro-ST."""

    allocation_id: UUID
    fill_id: UUID
    micro_st: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """Settled usage of one allocation in one hour, in micro-ST, with the model tokens behind it."""

    bucket_id: int
    hour: datetime
    allocation_id: UUID
    micro_st: int
    tokens: TokenCounts = NO_TOKENS


class Source(StrEnum):
    """What a part of a bucket was consumed from."""

    OWN = "own"
    SURPLUS = "surplus"
    OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True)
class RatedPart:
    """A piece of a bucket at one price; overflow has no fill, and no price unless one is posted."""

    bucket_id: int
    source: Source
    fill_id: UUID | None
    micro_st: int
    price_micros: int | None
    tokens: TokenCounts

    @property
    def exact(self) -> int:
        """Usage times price in 10^-18 yuan, never rounded.

        :raises UnpricedOverflow: for overflow without a posted price.
        """
        if self.price_micros is None:
            raise UnpricedOverflow(f"bucket {self.bucket_id} has {self.micro_st} micro-ST beyond all fills")
        return self.micro_st * self.price_micros


Row = TypeVar("Row")
Key = TypeVar("Key", int, UUID)
_Taken = dict[int, list[tuple[Source, Fill | None, int]]]  # by bucket: whence, which fill, micro-ST


def rate(
    buckets: Iterable[Bucket],
    allocations: Iterable[Allocation],
    fills: Iterable[Fill],
    overflow_price_micros: int | None = None,
) -> tuple[RatedPart, ...]:
    """Rate all usage of one buyer and product; the order of the rows given does not matter.

    Buckets go by hour, allocation, id. The parts come in that order, each
    bucket's own part first; they add up to the bucket in micro-ST and in every
    kind of model token, and no fill is consumed beyond its quantity.

    :raises RatingError: an id twice, a missing fill or allocation, allocations beyond their fill.
    :raises NegativeAmount: a quantity or price below zero.
    """
    in_order = sorted(buckets, key=lambda b: (b.hour, b.allocation_id, b.bucket_id))
    by_fill = _index((fill.fill_id, fill) for fill in fills)
    by_allocation = _index((a.allocation_id, a) for a in allocations)
    _index((b.bucket_id, b) for b in in_order)
    _check(in_order, by_allocation, by_fill)

    left = {fill_id: fill.micro_st for fill_id, fill in by_fill.items()}
    taken: _Taken = defaultdict(list)
    surplus = _consume_own(in_order, by_allocation, by_fill, left, taken)
    _consume_surplus(surplus, by_fill, left, taken)
    return tuple(part for bucket in in_order for part in _parts(bucket, taken[bucket.bucket_id], overflow_price_micros))


def _consume_own(
    buckets: list[Bucket],
    by_allocation: dict[UUID, Allocation],
    by_fill: dict[UUID, Fill],
    left: dict[UUID, int],
    taken: _Taken,
) -> list[tuple[int, int]]:
    """Serve every bucket from its allocation; what is over comes back as (bucket id, micro-ST)."""
    unclaimed = {allocation_id: allocation.micro_st for allocation_id, allocation in by_allocation.items()}
    surplus = []
    for bucket in buckets:
        fill = by_fill[by_allocation[bucket.allocation_id].fill_id]
        own = min(bucket.micro_st, unclaimed[bucket.allocation_id])
        unclaimed[bucket.allocation_id] -= own
        left[fill.fill_id] -= own
        if own:
            taken[bucket.bucket_id].append((Source.OWN, fill, own))
        if bucket.micro_st > own:
            surplus.append((bucket.bucket_id, bucket.micro_st - own))
    return surplus


def _consume_surplus(
    surplus: list[tuple[int, int]], by_fill: dict[UUID, Fill], left: dict[UUID, int], taken: _Taken
) -> None:
    """Serve surplus from the fills by round and id, and the rest as overflow."""
    queue = sorted(by_fill.values(), key=lambda f: (f.round_number, f.fill_id), reverse=True)
    for bucket_id, wanted in surplus:
        rest = wanted
        while rest and queue:
            fill = queue[-1]
            part = min(rest, left[fill.fill_id])
            left[fill.fill_id] -= part
            rest -= part
            if part:
                taken[bucket_id].append((Source.SURPLUS, fill, part))
            if left[fill.fill_id] == 0:
                queue.pop()
        if rest:
            taken[bucket_id].append((Source.OVERFLOW, None, rest))


def _parts(
    bucket: Bucket, taken: list[tuple[Source, Fill | None, int]], overflow_price_micros: int | None
) -> list[RatedPart]:
    counts = tokens.split(bucket.tokens, [micro_st for _, _, micro_st in taken]) if taken else ()
    return [
        RatedPart(
            bucket_id=bucket.bucket_id,
            source=source,
            fill_id=fill.fill_id if fill else None,
            micro_st=micro_st,
            price_micros=fill.price_micros if fill else overflow_price_micros,
            tokens=share,
        )
        for (source, fill, micro_st), share in zip(taken, counts, strict=True)
    ]


def _index(rows: Iterable[tuple[Key, Row]]) -> dict[Key, Row]:
    found: dict[Key, Row] = {}
    for key, row in rows:
        if key in found:
            raise RatingError(f"{type(row).__name__} {key} is given twice")
        found[key] = row
    return found


def _check(buckets: list[Bucket], by_allocation: dict[UUID, Allocation], by_fill: dict[UUID, Fill]) -> None:
    for bucket in buckets:
        refuse_negative(bucket_micro_st=bucket.micro_st)
        if bucket.allocation_id not in by_allocation:
            raise RatingError(f"bucket {bucket.bucket_id} names the unknown allocation {bucket.allocation_id}")
        if not bucket.micro_st and bucket.tokens != NO_TOKENS:
            raise RatingError(f"bucket {bucket.bucket_id} counts model tokens but no standard tokens")
    sold: dict[UUID, int] = defaultdict(int)
    for allocation in by_allocation.values():
        refuse_negative(allocation_micro_st=allocation.micro_st)
        sold[allocation.fill_id] += allocation.micro_st
    for fill in by_fill.values():
        refuse_negative(fill_micro_st=fill.micro_st, price_micros=fill.price_micros)
    for fill_id, micro_st in sold.items():
        if fill_id not in by_fill or micro_st > by_fill[fill_id].micro_st:
            raise RatingError(f"the allocations of fill {fill_id} add up to more than the fill")
