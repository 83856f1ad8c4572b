"""A buyer's wallet: what moved, and what was paid in."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from accounts.kernel.actor import Actor
from billing.models import TopUp
from ledger import selectors as ledger
from ledger.selectors import Movement


def top_ups(actor: Actor) -> QuerySet[TopUp]:
    """Bank transfers to the actor's wallet, newest first; staff see all."""
    if not actor.can("billing:read"):
        return TopUp.objects.none()
    rows = TopUp.objects.order_by("-id").select_related("organisation")
    return rows if actor.is_staff else rows.filter(organisation_id=actor.organisation_id)


def top_up(top_up_id: UUID) -> TopUp:
    """One top-up that the caller has just recorded."""
    return TopUp.objects.get(id=top_up_id)


def movements(actor: Actor, *, before: int | None = None, limit: int = 50) -> list[Movement]:
    """Entries of the actor's wallet, newest first; the next page starts before the last `entry_id`."""
    wallet = ledger.wallet(actor.organisation_id)
    if wallet.account_id is None or not actor.can("billing:read"):
        return []
    return ledger.movements(wallet.account_id, before_entry=before, limit=limit)
