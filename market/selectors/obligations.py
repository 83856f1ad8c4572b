"""Reads of what follows a window: charges for billing, and which allocations are still to be closed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Max, Min, QuerySet, Sum

from market.kernel.collar import reference
from market.kernel.obligations import EXACT_PER_MICRO
from market.models import Allocation, Charge, Market, Order, Product, RoundPrice
from market.models.catalogue import Grade
from market.selectors.allocations import AllocationView, read_allocations


@dataclass(frozen=True, slots=True)
class ChargeView:
    """What a buyer pays beside what was drawn; `exact` is in 10⁻¹⁸ yuan."""

    id: int
    allocation_id: UUID
    kind: str
    request_id: str
    micro_st: int
    price_micros: int
    exact: int
    created_at: datetime


def charges_after(last: int, *, limit: int) -> list[ChargeView]:
    """Charges with a greater id, in order; what billing pulls behind its watermark."""
    return _charges(Charge.objects.filter(id__gt=last).order_by("id")[:limit])


def charges_of(allocation_ids: Collection[UUID]) -> list[ChargeView]:
    """All charges of these allocations, oldest first. The caller owns the allocations."""
    return _charges(Charge.objects.filter(allocation_id__in=list(allocation_ids)).order_by("id"))


def charges_many(charge_ids: Collection[int]) -> list[ChargeView]:
    """These charges, oldest first."""
    return _charges(Charge.objects.filter(id__in=list(charge_ids)).order_by("id"))


def last_charge() -> int:
    """The newest charge's id, 0 before the first."""
    return Charge.objects.order_by("-id").values_list("id", flat=True).first() or 0


def next_window_end(market_id: UUID, *, after: datetime) -> datetime | None:
    """The earliest end of a window that lies after an instant."""
    found: datetime | None = Product.objects.filter(market_id=market_id, window_end__gt=after).aggregate(
        end=Min("window_end")
    )["end"]
    return found


def unclosed(market_id: UUID, *, window_end: datetime, limit: int) -> list[AllocationView]:
    """Allocations of the windows that end at this instant and have no end yet, by id."""
    return read_allocations(
        "WHERE p.market_id = %s AND p.window_end = %s AND NOT EXISTS "
        "(SELECT FROM market_allocationclose c WHERE c.allocation_id = a.id) ORDER BY a.id LIMIT %s",
        [market_id, window_end, limit],
    )


def cancellation_fee(allocation_id: UUID) -> int | None:
    """The fee in micro-yuan that was charged for giving an allocation up; None where it was not."""
    row = Charge.objects.filter(allocation_id=allocation_id, kind=Charge.Kind.CANCELLATION).first()
    return int(row.exact) // EXACT_PER_MICRO if row else None


def cancel_fee_bps(currency: str) -> int:
    """The market's fee for giving up what was bought, in basis points of price × quantity."""
    return Market.objects.values_list("cancel_fee_bps", flat=True).get(currency=currency)


def shortfall_bps(currency: str) -> int:
    """What a seller gives back for what fell short, in basis points of the price."""
    return Market.objects.values_list("shortfall_bps", flat=True).get(currency=currency)


def shortfalls_to_buy(market_id: UUID, *, now: datetime) -> list[ChargeView]:
    """Shortfalls of windows that still run, and that no round looked for again yet."""
    rows = Charge.objects.filter(
        kind=Charge.Kind.SHORTFALL,
        buy_back__isnull=True,
        allocation__product__market_id=market_id,
        allocation__product__window_end__gt=now,
    )
    return _charges(rows.order_by("id"))


def shortfalls_by_pool(*, since: datetime) -> dict[UUID, int]:
    """The newest shortfall of each pool that had one since an instant."""
    rows = Charge.objects.filter(kind=Charge.Kind.SHORTFALL, created_at__gt=since)
    return dict(rows.values_list("allocation__pool_id").annotate(Max("id")))


def next_grade_price(product_id: UUID, *, least_st: int) -> int | None:
    """The volume-weighted price of the next lower grade of this line in this window; None where too little of it traded.

    Only what traded before the window opened counts, and only if it was as much as what is to be priced: later, and in
    a single lot, either side could make the price.
    """
    product = Product.objects.get(id=product_id)
    lower = list(Grade)[list(Grade).index(Grade(product.grade)) + 1 :]
    rows = RoundPrice.objects.filter(
        product__line_id=product.line_id, product__grade__in=lower[:1], product__window_start=product.window_start,
        round__closed_at__lt=product.window_start, volume_st__gte=1,
    )  # fmt: skip
    trades = [(row.price_micros or 0, row.volume_st) for row in rows]
    return reference(trades) if sum(volume for _, volume in trades) >= least_st else None


def supply_of_order(order_id: UUID) -> UUID:
    """The supply behind a sell order."""
    found = Order.objects.values_list("supply_id", flat=True).get(id=order_id)
    assert found is not None, "every sell order stands on a supply"
    return found


def sold_in_round(supply_id: UUID, like: AllocationView) -> int:
    """ST that the round of an allocation sold of a supply and that was not cancelled since."""
    rows = Allocation.objects.filter(
        seller_id=like.seller_id,
        product_id=like.product_id,
        round_number=like.round_number,
        sell_order__supply_id=supply_id,
    ).exclude(use__cancelled_at__isnull=False)
    return rows.aggregate(total=Sum("quantity_st"))["total"] or 0


def _charges(rows: QuerySet[Charge]) -> list[ChargeView]:
    return [
        ChargeView(
            id=row.id,
            allocation_id=row.allocation_id,
            kind=row.kind,
            request_id=row.request_id,
            micro_st=row.micro_st,
            price_micros=row.price_micros,
            exact=int(row.exact),
            created_at=row.created_at,
        )
        for row in rows
    ]
