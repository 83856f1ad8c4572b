"""Paid, unspent money goes back the way it came: held in the wallet first, sent by Stripe, and only then taken."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Sum

from accounts import services as accounts
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from billing import locks
from billing.gateways import stripe_api
from billing.kernel import payments as kernel
from billing.kernel.payments import Found
from billing.payment_models import Payment, Refund
from billing.selectors.payments import UnknownPayment
from billing.services.payments import errors
from billing.services.payments.attempts import KEY_LIVES
from ledger import selectors as ledger_reads
from ledger import services as ledger
from ledger.kernel.kinds import Side
from ledger.services import HoldChange, HoldDraft, Leg, TransferDraft

log = structlog.get_logger(__name__)

_MICROS_PER_FEN = 10_000


def may_refund(actor: Actor, organisation_id: UUID) -> bool:
    """Staff, the organisation's owner, or a key with `billing:write`, which only an owner can make."""
    if actor.is_staff:
        return True
    own = actor.organisation_id == organisation_id and actor.can("billing:write")
    return own and (actor.role == "owner" or actor.key_id is not None)


def most_fen(payment: Payment) -> int:
    """What of a settled top-up can go back now: at most itself less its refunds, at most what the wallet has free."""
    wallet = ledger_reads.wallet(payment.organisation_id, payment.currency)
    return max(0, min(_left(payment), wallet.available_micros // _MICROS_PER_FEN))


def _left(payment: Payment) -> int:
    sent = payment.refunds.exclude(state=kernel.FAILED).aggregate(fen=Sum("amount_fen"))["fen"] or 0
    return payment.amount_fen - sent


def open_refund(*, actor: Actor, payment_id: UUID, amount_fen: int, now: datetime) -> UUID:
    """Write a refund and hold its money; nothing is called yet.

    :raises UnknownPayment: none of the actor's organisation has this id (staff: none at all).
    :raises NotAllowed: the actor is neither staff nor the owner.
    :raises NotRefundable, BadAmount, BeyondPayment, BeyondWallet, NotConfigured: see there.
    """
    if not stripe_api.configured():
        raise errors.NotConfigured("This site takes bank transfers only.")
    with transaction.atomic():
        payment = _settled(actor, payment_id)
        if amount_fen <= 0:
            raise errors.BadAmount("A refund is at least one fen.", least_fen=1)
        if amount_fen > (left := _left(payment)):
            raise errors.BeyondPayment("This is more than the payment less its refunds.", most_fen=left)
        refund = Refund(id=ids.new(), payment=payment, amount_fen=amount_fen, asked_by=actor.user_id, created_at=now)
        refund.hold_id = _hold(payment, refund, now)
        refund.save(force_insert=True)
        accounts.audit.record(
            actor=actor, action="payment.refund.opened", subject=str(refund.id),
            detail={"payment_id": str(payment.id), "amount_fen": amount_fen}, now=now,
        )  # fmt: skip
    return refund.id


def _settled(actor: Actor, payment_id: UUID) -> Payment:
    found = Payment.objects.filter(id=payment_id)
    if not actor.is_staff:
        found = found.filter(organisation_id=actor.organisation_id)
    if not actor.can("billing:read") or not found.exists():
        raise UnknownPayment("There is no such payment.")
    payment = locks.payment(payment_id)
    if not may_refund(actor, payment.organisation_id):
        raise errors.NotAllowed("Only the owner, or staff, may send money back.")
    top_up = payment.purpose in {Payment.Purpose.TOP_UP, Payment.Purpose.AUTOMATIC}
    if not top_up or payment.state != kernel.SETTLED or not payment.intent_id:
        raise errors.NotRefundable("Only a settled top-up can be refunded.")
    return payment


def _hold(payment: Payment, refund: Refund, now: datetime) -> UUID:
    wallet = ledger.open_account(organisation_id=payment.organisation_id, kind="wallet", currency=payment.currency)
    draft = HoldDraft(f"refund:{refund.id}:hold", wallet, refund.amount_fen * _MICROS_PER_FEN)
    try:
        return ledger.place_holds([draft], now=now)[0]
    except ledger.InsufficientFunds:
        raise errors.BeyondWallet(
            "The wallet has less free than that: the rest is spent, or held for bids.", most_fen=most_fen(payment)
        ) from None


def go_on(refund_id: UUID, *, now: datetime) -> None:
    """Ask Stripe to send the money, or look what came of it. The same key sends it once."""
    refund = Refund.objects.select_related("payment").get(id=refund_id)
    if refund.state not in kernel.OPEN_STATES:
        return
    Refund.objects.filter(id=refund_id).update(looked_at=now)
    try:
        answer = _answer(refund, now)
    except stripe_api.NoAnswer:
        Refund.objects.filter(id=refund_id, state=kernel.CREATED).update(state=kernel.UNKNOWN, reason="no_answer")
        return
    except stripe_api.GatewayError as error:
        if refund.stripe_id is None:
            apply(refund_id, None, Found(kernel.FAILED, reason=error.code), now=now)
        return
    if answer is not None:
        apply(refund_id, *answer, now=now)


def _answer(refund: Refund, now: datetime) -> tuple[str | None, Found] | None:
    intent_id = refund.payment.intent_id
    assert intent_id is not None
    if refund.stripe_id:
        return stripe_api.retrieve_refund(refund.stripe_id)
    if refund.state == kernel.UNKNOWN:
        found = stripe_api.find_refund(intent_id=intent_id, refund_id=str(refund.id))
        if found:
            return found
        if now - refund.created_at > KEY_LIVES:
            return None, Found(kernel.FAILED, reason="not_sent")
    return stripe_api.create_refund(
        refund_id=str(refund.id), intent_id=intent_id, amount_fen=refund.amount_fen, key=f"refund:{refund.id}"
    )


def look(refund_id: UUID, *, now: datetime) -> None:
    """Retrieve the refund's object and apply it, also once it is settled: banks send refunds back.

    :raises NoAnswer: Stripe does not answer.
    """
    refund = Refund.objects.get(id=refund_id)
    if refund.stripe_id:
        apply(refund_id, *stripe_api.retrieve_refund(refund.stripe_id), now=now)
    else:
        go_on(refund_id, now=now)


def apply(refund_id: UUID, stripe_id: str | None, found: Found, *, now: datetime) -> str:
    """Take a step forward; the wallet pays with the step to settled, and gets it back with a step to failed.

    :raises Differs: Stripe's refund has another amount.
    """
    with transaction.atomic():
        # The payment's lock first, as in `open_refund`: what is left of it is read under that lock.
        locks.payment(Refund.objects.values_list("payment_id", flat=True).get(id=refund_id))
        refund = locks.refund(refund_id)
        if found.amount_fen not in {None, refund.amount_fen}:
            raise errors.Differs("amount_differs")
        before = refund.state
        refund.state = kernel.refund_step(before, found.state)
        refund.stripe_id = refund.stripe_id or stripe_id
        if refund.state == found.state:
            refund.reason = found.reason
        if refund.state != before:
            _move(refund, before, now)
        refund.save()
    return refund.state


def _move(refund: Refund, before: str, now: datetime) -> None:
    if refund.state == kernel.SETTLED:
        refund.settled_at = now
        take = _transfer(refund, "refund", "debit", "credit")
        post = HoldChange(
            f"refund:{refund.id}:post", refund.hold_id, "post", refund.amount_fen * _MICROS_PER_FEN, take.key
        )
        ledger.capture(hold_changes=[post], drafts=[take], now=now)
    elif refund.state == kernel.FAILED and before == kernel.SETTLED:
        ledger.post([_transfer(refund, "refund_back", "credit", "debit")], now=now)
    elif refund.state == kernel.FAILED:
        ledger.change_holds([HoldChange(f"refund:{refund.id}:release", refund.hold_id, "release", None)], now=now)


def _transfer(refund: Refund, kind: str, wallet_side: Side, cash_side: Side) -> TransferDraft:
    payment = refund.payment
    micros = refund.amount_fen * _MICROS_PER_FEN
    wallet = ledger.open_account(organisation_id=payment.organisation_id, kind="wallet", currency=payment.currency)
    cash = ledger.open_account(organisation_id=None, kind="cash_clearing", currency=payment.currency)
    legs = (Leg(wallet, wallet_side, micros), Leg(cash, cash_side, micros))
    key = f"refund:{refund.id}" if kind == "refund" else f"refund:{refund.id}:back"
    return TransferDraft(key=key, kind=kind, legs=legs, currency=payment.currency)
