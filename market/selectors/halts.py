"""What is halted beside the market itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from market.models import Halt, Product, ProductFault


@dataclass(frozen=True)
class HaltView:
    """A halt of a line (by its slug) or of an organisation; without `ends_at` it lasts until it is lifted."""

    id: UUID
    line: str | None
    organisation_id: UUID | None
    reason: str
    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True)
class Stopped:
    """Whose orders, and the orders of which products, sit out."""

    organisation_ids: list[UUID]
    product_ids: list[UUID]


def halts(*, now: datetime) -> list[HaltView]:
    """The halts that last now."""
    rows = Halt.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now), starts_at__lte=now)
    found = rows.order_by("id").values_list("id", "line__slug", "organisation_id", "reason", "starts_at", "ends_at")
    return [HaltView(*row) for row in found]


def stopped(*, now: datetime) -> Stopped:
    """What halts that last now, and products that could not be cleared, keep out of a round."""
    active = halts(now=now)
    lines = [one.line for one in active if one.line is not None]
    products = Product.objects.filter(line__slug__in=lines, window_end__gt=now).values_list("id", flat=True)
    parked = ProductFault.objects.filter(parked_at__isnull=False).values_list("product_id", flat=True)
    return Stopped(
        organisation_ids=[one.organisation_id for one in active if one.organisation_id is not None],
        product_ids=[*(products if lines else ()), *parked],
    )
