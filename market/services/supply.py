"""Capacity that providers declare; sell orders stand on it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from market import selectors
from market.kernel.errors import NoSupply, OffLot
from market.kernel.orders import CellTerms, SupplyDraft, check_window
from market.models import Cell, Supply
from market.services.products import product_for


def declare(draft: SupplyDraft, *, now: datetime) -> UUID:
    """Declare capacity of a deployment in a window, and make its cell; gives the supply's id.

    Each declaration is a supply of its own: whoever declares knows what the pool can do in all.

    :raises UnknownLine, UnknownGrade, UnknownWindow, WindowClosed, OffLot, NoSupply: see there.
    """
    check_window(draft.window_start, now)
    market = selectors.the_market()
    terms = selectors.terms_of(market.id, draft.grade)
    if draft.offered_st <= 0 or draft.offered_st % terms.lot_st:
        raise OffLot(f"The capacity is a multiple of {terms.lot_st} ST.", lot_st=terms.lot_st)
    if draft.rate_st_per_second <= 0:
        raise NoSupply("A deployment delivers at least 1 ST a second.")
    with transaction.atomic():
        product_id = product_for(
            market.id, draft.line, draft.grade, draft.window_start, organisation_id=draft.organisation_id, now=now
        ).id
        supply = Supply.objects.create(
            organisation_id=draft.organisation_id,
            pool_id=draft.pool_id,
            exclusive_group=draft.exclusive_group,
            deployment_id=draft.deployment_id,
            cell_id=_cell(product_id, draft.terms),
            window_start=draft.window_start,
            rate_st_per_second=draft.rate_st_per_second,
            offered_st=draft.offered_st,
            declared_at=now,
        )
    return supply.id


def _cell(product_id: UUID, terms: CellTerms) -> UUID:
    fields = {
        "product_id": product_id,
        "region": terms.region,
        "tier": terms.tier,
        "vendor": terms.vendor,
        "data_terms": terms.data_terms,
    }
    Cell.objects.bulk_create([Cell(**fields)], ignore_conflicts=True)
    return Cell.objects.values_list("id", flat=True).get(**fields)
