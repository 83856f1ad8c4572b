"""Use by product: what was bought, what the gateway counted, what was rated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from billing.kernel.rounding import EXACT_PER_MICRO
from billing.selectors.rows import rated_by_allocation
from market.selectors import AllocationView
from metering_ingest import selectors as metering


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
