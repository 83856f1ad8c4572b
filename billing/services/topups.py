"""Top-ups by bank transfer, recorded by staff from the bank's statement."""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts import services as accounts
from accounts.kernel.actor import Actor
from accounts.selectors import organisations
from billing.models import TopUp
from billing.services.invoices import BillingError
from ledger import services as ledger
from ledger.services import Leg, TransferDraft

_REFERENCE = re.compile(r"[^\x00-\x1f\x7f]{1,80}")


class NotStaff(BillingError):
    """Only staff of the operator may record money that reached the bank."""

    code = "forbidden"
    status = 403


class TopUpDiffers(BillingError):
    """The bank's reference was recorded before, with another amount or for another organisation."""

    code = "top_up_differs"
    status = 409


class UnknownBuyer(BillingError):
    """No organisation that buys has this id."""

    code = "unknown_organisation"
    status = 422


class BadReference(BillingError):
    """Not what a bank prints on a statement."""

    code = "bad_reference"
    status = 422


class BadAmount(BillingError):
    """An amount must be positive and whole fen."""

    code = "bad_amount"
    status = 422


def may_record(actor: Actor) -> bool:
    """Staff in the browser, or a program of the operator that imports the bank's statement."""
    return actor.is_staff or (actor.organisation_kind == "operator" and actor.can("billing:write"))


def record(
    *, organisation_id: UUID, amount_micros: int, reference: str, actor: Actor, now: datetime, currency: str = "CNY"
) -> UUID:
    """Credit a buyer's wallet; the same bank reference again changes nothing and gives the first id.

    :raises NotStaff: the actor is neither staff nor a key of the operator with `billing:write`.
    :raises UnknownBuyer: no organisation that buys has this id.
    :raises BadAmount: not positive, or not whole fen.
    :raises TopUpDiffers: the reference is known with other content.
    """
    if not may_record(actor):
        raise NotStaff("Only staff may record a bank transfer.")
    if organisation_id not in {one.id for one in organisations.buyers([organisation_id])}:
        raise UnknownBuyer("No organisation that buys has this id.")
    if not _REFERENCE.fullmatch(reference):
        raise BadReference("A bank reference is 1 to 80 characters without control characters.")
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
