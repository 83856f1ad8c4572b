"""Use by product: what was bought, what the gateway counted, what was rated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.kernel.actor import Actor
from billing.kernel.rounding import EXACT_PER_MICRO
from billing.models import Invoice, RatedLine
from billing.selectors.rows import invoices, rated_by_allocation
from market import selectors as market
from market.selectors import AllocationView
from metering_ingest import selectors as metering


@dataclass(frozen=True, slots=True)
class OrderUsage:
    """What became of one order after it was matched. Amounts are in micro-yuan, rounded down."""

    allocations: tuple[AllocationView, ...]
    requests: int
    metered_micro_st: int
    settled: bool  # nothing metered waits to be settled
    billed_micro_st: int
    billed_micros: int
    waiting: bool  # a part that is billed is on no invoice yet
    invoices: tuple[Invoice, ...]

    @property
    def bought_st(self) -> int:
        """Standard tokens in all allocations."""
        return sum(one.quantity_st for one in self.allocations)

    @property
    def drawn_micro_st(self) -> int:
        """What requests have drawn so far."""
        return sum(one.drawn_micro_st for one in self.allocations)


def order_usage(order_id: UUID, actor: Actor) -> OrderUsage:
    """Delivery, metering and bill of an order; the invoices are those that the actor may read."""
    allocations = tuple(market.of_order(order_id, actor))
    known = [one.id for one in allocations]
    buckets = metering.buckets_of(known)
    rated = rated_by_allocation(known).values()
    lines = RatedLine.objects.filter(allocation_id__in=known, live=True)
    billed_on = lines.filter(invoice_line__isnull=False).values("invoice_line__invoice_id")
    return OrderUsage(
        allocations=allocations,
        requests=sum(one.records for one in buckets),
        metered_micro_st=sum(one.micro_st for one in buckets),
        settled=all(one.settled for one in buckets),
        billed_micro_st=sum(micro_st for micro_st, _ in rated),
        billed_micros=sum(exact for _, exact in rated) // EXACT_PER_MICRO,
        waiting=lines.filter(invoice_line__isnull=True).exists(),
        invoices=tuple(invoices(actor).filter(id__in=billed_on).order_by("id")),
    )


def usage_rows(allocations: Sequence[AllocationView]) -> list[dict[str, Any]]:
    """One row a product, newest window first: sums over its allocations, as metered and as rated."""
    rows: dict[UUID, dict[str, Any]] = {}
    for one in allocations:
        row = rows.setdefault(one.product_id, {"product": one, **dict.fromkeys(_SUMS, 0)})
        row["bought_st"] += one.quantity_st
        row["cost_exact"] += one.quantity_st * one.price_micros
    product_of = {one.id: one.product_id for one in allocations}
    for bucket in metering.buckets_of(list(product_of)):
        row = rows[product_of[bucket.allocation_id]]
        row["metered_micro_st"] += bucket.micro_st
        row["requests"] += bucket.records
        row["input_tokens"] += bucket.prompt_tokens - bucket.cached_tokens
        row["cached_tokens"] += bucket.cached_tokens
        row["output_tokens"] += bucket.completion_tokens
    for allocation_id, (micro_st, exact) in rated_by_allocation(list(product_of)).items():
        row = rows[product_of[allocation_id]]
        row["billed_micro_st"] += micro_st
        row["billed_exact"] += exact
    for row in rows.values():
        row["average_micros"] = row["cost_exact"] // row["bought_st"]
        row["billed_micros"] = row["billed_exact"] // EXACT_PER_MICRO
    return sorted(rows.values(), key=lambda row: (row["product"].window_start, row["product"].line), reverse=True)


_SUMS = (
    "bought_st", "cost_exact", "metered_micro_st", "billed_micro_st", "billed_exact", "requests", "input_tokens",
    "cached_tokens", "output_tokens",
)  # fmt: skip
