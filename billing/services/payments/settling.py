"""What an answer of Stripe's does to a payment: a step forward, and the wallet's money exactly once.

The object is fetched before the row is locked, since no transaction waits for
HTTP; the lock then takes only steps forward (`kernel.payments`), so of two
answers the older one changes nothing. The ledger's key is the payment's id.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction

from billing import locks
from billing.gateways import stripe_api
from billing.kernel import payments as kernel
from billing.kernel.payments import Found
from billing.models import Invoice
from billing.payment_models import Payment, PaymentProfile
from billing.services.payments.errors import Differs
from ledger import selectors as ledger_reads
from ledger import services as ledger
from ledger.services import Leg, TransferDraft

log = structlog.get_logger(__name__)

_MICROS_PER_FEN = 10_000
# By then a call that got no answer is either done, or never will be.
_IN_FLIGHT = timedelta(minutes=10)


def look(payment_id: UUID, *, now: datetime) -> None:
    """Retrieve the payment's object and apply what it says. A charge is never made, or made again, here.

    :raises NoAnswer: Stripe does not answer; the row stays as it is.
    :raises Differs: the object is not what the row asked for.
    """
    payment = Payment.objects.get(id=payment_id)
    Payment.objects.filter(id=payment_id).update(looked_at=now)
    if payment.session_id:
        apply(payment_id, stripe_api.retrieve_session(payment.session_id), now=now)
    elif payment.intent_id:
        _look_at_intent(payment, now)


def _look_at_intent(payment: Payment, now: datetime) -> None:
    assert payment.intent_id is not None
    found = stripe_api.retrieve_intent(payment.intent_id)
    charged = payment.charged_at
    if found.state == kernel.PENDING and charged is not None and now - charged > _IN_FLIGHT:
        # The charge never arrived. Cancelling says so for good; if it did arrive meanwhile, cancelling is refused.
        try:
            found = stripe_api.cancel_intent(payment.intent_id, key=f"payment:{payment.id}:cancel")
        except stripe_api.Refused:
            found = stripe_api.retrieve_intent(payment.intent_id)
    apply(payment.id, found, now=now)


def apply(payment_id: UUID, found: Found, *, now: datetime) -> str:
    """Take a step forward; money moves with the step to settled, and only then. Gives the state afterwards.

    :raises Differs: the object is not what the row asked for; the row keeps its state and says so.
    """
    # A second read before the lock: Stripe's own page knows the card, and no lock waits for HTTP.
    method = _method_to_save(payment_id, found)
    with transaction.atomic():
        payment = locks.payment(payment_id)
        difference = _difference(payment, found)
        if difference:
            payment.reason = difference
            payment.save(update_fields=["reason"])
        else:
            _step(payment, found, method, now)
    if difference:
        log.error("billing.payment.differs", payment_id=str(payment_id), difference=difference)
        raise Differs(difference)
    return payment.state


def _step(payment: Payment, found: Found, method: stripe_api.Method | None, now: datetime) -> None:
    before = payment.state
    payment.state = kernel.payment_step(before, found.state)
    payment.session_id = payment.session_id or found.session_id
    payment.intent_id = payment.intent_id or found.intent_id
    if payment.state == found.state:
        payment.reason = found.reason
        payment.url = found.url
    if payment.state == kernel.SETTLED and before != kernel.SETTLED:
        payment.settled_at = now
        payment.save()
        _credit(payment, now)
        if method is not None:
            _save_method(payment.organisation_id, method)
    else:
        payment.save()


def no_answer(payment_id: UUID, *, now: datetime) -> None:
    """A call was made and nobody knows what came of it."""
    Payment.objects.filter(id=payment_id, state__in=[kernel.CREATED, kernel.PENDING]).update(
        state=kernel.UNKNOWN, reason="no_answer", looked_at=now
    )


def refused(payment_id: UUID, *, reason: str, now: datetime) -> None:
    """Stripe did not take the call, or the bank said no: nothing was charged."""
    with transaction.atomic():
        payment = locks.payment(payment_id)
        payment.state = kernel.payment_step(payment.state, kernel.FAILED)
        if payment.state == kernel.FAILED:
            payment.reason = payment.reason if payment.reason not in {"", "no_answer"} else reason[:60]
        payment.looked_at = now
        payment.save()


def _difference(payment: Payment, found: Found) -> str:
    if found.live != stripe_api.live():
        return "mode_differs"
    if payment.purpose == Payment.Purpose.SETUP:
        return ""
    if found.currency != payment.currency:
        return "currency_differs"
    return "" if found.amount_fen == payment.amount_fen else "amount_differs"


def _method_to_save(payment_id: UUID, found: Found) -> stripe_api.Method | None:
    if found.state != kernel.SETTLED or not found.session_id:
        return None
    setup = Payment.objects.filter(id=payment_id, purpose=Payment.Purpose.SETUP).exclude(state=kernel.SETTLED)
    return stripe_api.saved_method(found.session_id) if setup.exists() else None


def _save_method(organisation_id: UUID, method: stripe_api.Method) -> None:
    PaymentProfile.objects.filter(organisation_id=organisation_id).update(
        method_id=method.id, method_brand=method.brand, method_last4=method.last4, method_month=method.month,
        method_year=method.year, paused_reason="",
    )  # fmt: skip


def _credit(payment: Payment, now: datetime) -> None:
    """Cash clearing to the wallet; for an invoice to what is owed first, and the rest to the wallet."""
    micros = payment.amount_fen * _MICROS_PER_FEN
    if micros == 0:
        return
    cash = ledger.open_account(organisation_id=None, kind="cash_clearing", currency=payment.currency)
    legs = [Leg(cash, "debit", micros)]
    owed = 0
    if payment.purpose == Payment.Purpose.INVOICE:
        receivable = ledger.open_account(
            organisation_id=payment.organisation_id, kind="receivable", currency=payment.currency
        )
        _mark_paid(payment.invoice_id)
        owed = min(micros, ledger_reads.balance(receivable).posted_micros)
        if owed > 0:
            legs.append(Leg(receivable, "credit", owed))
    if micros > owed:
        wallet = ledger.open_account(organisation_id=payment.organisation_id, kind="wallet", currency=payment.currency)
        legs.append(Leg(wallet, "credit", micros - owed))
    kind = "invoice_paid" if payment.purpose == Payment.Purpose.INVOICE else "card_top_up"
    draft = TransferDraft(key=f"payment:{payment.id}", kind=kind, legs=tuple(legs), currency=payment.currency)
    ledger.post([draft], now=now)


def _mark_paid(invoice_id: UUID | None) -> None:
    assert invoice_id is not None
    invoice = locks.invoice(invoice_id)
    if invoice.state == Invoice.State.OPEN:
        Invoice.objects.filter(id=invoice.id).update(state=Invoice.State.PAID)
