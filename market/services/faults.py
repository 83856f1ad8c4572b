"""Products that could not be cleared: counted, parked after three tries, and tried again when a person says so."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction

from accounts.kernel.actor import Actor
from accounts.kernel.ids import encode
from accounts.services import audit
from market.kernel.errors import ProductParked
from market.models import ProductFault, Round
from market.services.clearing import Outcome

log = structlog.get_logger(__name__)

# A product that fails in so many rounds in a row is parked.
TRIES = 3


def record(outcome: Outcome, round_: Round, *, now: datetime) -> None:
    """Count this round's failures, and forget those of products that cleared again; in the round's transaction."""
    products = outcome.book.products
    failed = {products[fault.code].id: fault.reason for fault in outcome.faults if fault.code is not None}
    known = {row.product_id: row for row in ProductFault.objects.select_for_update().filter(parked_at__isnull=True)}
    cleared = {one.product.id for one in outcome.cleared}
    ProductFault.objects.filter(product_id__in=[one for one in known if one in cleared]).delete()
    for product_id, reason in failed.items():
        row = known.get(product_id) or ProductFault(product_id=product_id, failures=0)
        row.failures += 1
        row.reason, row.round_number = reason[:500], round_.number
        row.parked_at = now if row.failures >= TRIES else None
        row.save()
        log.error("market.product.failed", product_id=str(product_id), failures=row.failures, reason=reason)


def check(product_ids: Collection[UUID]) -> None:
    """Refuse new orders of parked products.

    :raises ProductParked: see there.
    """
    if ProductFault.objects.filter(product_id__in=list(product_ids), parked_at__isnull=False).exists():
        raise ProductParked("This product could not be cleared and waits for a person. Open orders may be cancelled.")


def retry(product_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Let a parked product take part again; it has three tries once more."""
    with transaction.atomic():
        if ProductFault.objects.filter(product_id=product_id).delete()[0]:
            subject = encode("prd", product_id)
            audit.record(actor=actor, action="product.retried", subject=subject, detail={}, now=now)
