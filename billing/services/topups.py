"""Top-ups by bank transfer, recorded by staff from the bank's statement."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts import services as accounts
from accounts.kernel.actor import Actor
from billing.models import TopUp
from billing.services.invoices import BillingError
from ledger import services as ledger
from ledger.services import Leg, TransferDraft


class NotStaff(BillingError):
    """Only staff of the operator may record money that reached the bank."""

    code = "forbidden"
    status = 403


class TopUpDiffers(BillingError):
    """The bank's reference was recorded before, with another amount or for another organisation."""

    code = "top_up_differs"
    status = 409


class BadAmount(BillingError):
    """An amount must be positive and whole fen."""

    code = "bad_amount"
    status = 422


def record(
    *, organisation_id: UUID, amount_micros: int, reference: str, actor: Actor, now: datetime, currency: str = "CNY"
) -> UUID:
    """Credit a buyer's wallet; the same bank reference again changes nothing and gives the first id.

    :raises NotStaff: the actor is not staff.
    :raises BadAmount: not positive, or not whole fen.
    :raises TopUpDiffers: the reference is known with other content.
    """
    if not actor.is_staff:
        raise NotStaff("Only staff may record a bank transfer.")
    if amount_micros <= 0 or amount_micros % 10_000:
        raise BadAmount("A transfer is a positive amount in whole fen.")
    with transaction.atomic():
        draft = TopUp(
            organisation_id=organisation_id,
            amount_micros=amount_micros,
            currency=currency,
            reference=reference,
            recorded_at=now,
        )
        TopUp.objects.bulk_create([draft], ignore_conflicts=True)
        top_up = TopUp.objects.get(reference=reference)
        if (top_up.organisation_id, top_up.amount_micros, top_up.currency) != (
            organisation_id,
            amount_micros,
            currency,
        ):
            raise TopUpDiffers(f"The bank reference {reference} was recorded before with other content.")
        if top_up.id == draft.id:
            _post(top_up, now)
            accounts.audit.record(
                actor=actor,
                action="top_up.recorded",
                subject=str(top_up.id),
                detail={
                    "organisation_id": str(organisation_id),
                    "amount_micros": amount_micros,
                    "reference": reference,
                },
                now=now,
            )
    return top_up.id


def _post(top_up: TopUp, now: datetime) -> None:
    cash = ledger.open_account(organisation_id=None, kind="cash_clearing", currency=top_up.currency)
    wallet = ledger.open_account(organisation_id=top_up.organisation_id, kind="wallet", currency=top_up.currency)
    legs = (Leg(cash, "debit", top_up.amount_micros), Leg(wallet, "credit", top_up.amount_micros))
    ledger.post([TransferDraft(key=f"top_up:{top_up.id}", kind="top_up", legs=legs, currency=top_up.currency)], now=now)
