"""Opening a payment: the row first and committed, then the call, under a key that derives from the row's id."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.urls import reverse

from accounts import services as accounts
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.selectors import organisations
from billing import locks, selectors
from billing.gateways import stripe_api
from billing.kernel import payments as kernel
from billing.models import CreditNote, Invoice
from billing.payment_models import Payment, PaymentProfile
from billing.services.payments import errors
from billing.services.payments.settling import apply, no_answer, refused

log = structlog.get_logger(__name__)

LEAST_FEN, MOST_FEN = 100, 1_000_000_00
# How long a page of Stripe's waits for the buyer; Stripe allows 30 minutes to 24 hours.
PAGE_OPEN = timedelta(hours=1)
# Stripe keeps an idempotency key for a day at least. Beyond this, the same key could be a second call.
KEY_LIVES = timedelta(hours=23)


def open_top_up(*, actor: Actor, amount_fen: int, now: datetime) -> UUID:
    """Write the attempt to pay into the actor's wallet; nothing is called yet.

    :raises NotConfigured, NotAllowed, NotABuyer, BadAmount: see there.
    """
    _may_pay(actor)
    _check_amount(amount_fen)
    return _open(actor, Payment.Purpose.TOP_UP, amount_fen, now)


def open_invoice(*, actor: Actor, invoice_id: UUID, now: datetime, saved: bool = False) -> UUID:
    """Write the attempt to pay what is due of an invoice.

    :raises NotPayable: it is paid, or was settled from the wallet.
    :raises AlreadyUnderWay: another attempt is not decided yet.
    :raises NoSavedMethod: `saved`, and there is no card.
    :raises NoSuchInvoice, NotConfigured, NotAllowed: see there.
    """
    _may_pay(actor)
    with transaction.atomic():
        invoice = locks.invoice(selectors.invoice_row(invoice_id, actor=actor).id)
        due_fen = _due_fen(invoice)
        if invoice.state != Invoice.State.OPEN or due_fen <= 0:
            raise errors.NotPayable("Nothing is due on this invoice.")
        earlier = Payment.objects.filter(invoice_id=invoice.id, state__in=kernel.OPEN_STATES).first()
        if earlier:
            raise errors.AlreadyUnderWay(
                "Another payment of this invoice is not decided yet.", payment=ids.encode("pay", earlier.id)
            )
        if saved and not _profile(actor.organisation_id).method_id:
            raise errors.NoSavedMethod("There is no saved card.")
        way = Payment.Way.SAVED if saved else Payment.Way.CHECKOUT
        return _open(actor, Payment.Purpose.INVOICE, due_fen, now, invoice_id=invoice.id, way=way)


def _due_fen(invoice: Invoice) -> int:
    """What is due after its credit notes, in whole fen; less than a fen over goes to the wallet."""
    noted = CreditNote.objects.filter(invoice=invoice).aggregate(all=Sum("receivable_micros", default=0))["all"]
    return -(-(invoice.due_fen * 10_000 - int(noted)) // 10_000)


def open_setup(*, actor: Actor, now: datetime) -> UUID:
    """Write the attempt to save a card.

    :raises NotConfigured, NotAllowed, NotABuyer: see there.
    """
    _may_pay(actor)
    return _open(actor, Payment.Purpose.SETUP, 0, now)


def _open(
    actor: Actor, purpose: str, amount_fen: int, now: datetime, *, invoice_id: UUID | None = None,
    way: str = Payment.Way.CHECKOUT,
) -> UUID:  # fmt: skip
    payment = Payment(
        organisation_id=actor.organisation_id, purpose=purpose, way=way, invoice_id=invoice_id, amount_fen=amount_fen,
        currency=settings.MARKET_CURRENCY, created_at=now,
    )  # fmt: skip
    with transaction.atomic():
        payment.save(force_insert=True)
        accounts.audit.record(
            actor=actor, action=f"payment.{purpose}.opened", subject=str(payment.id),
            detail={"amount_fen": amount_fen, "invoice_id": str(invoice_id) if invoice_id else None}, now=now,
        )  # fmt: skip
    return payment.id


def go_on(payment_id: UUID, *, now: datetime) -> None:
    """Make the next call of an attempt, as often as need be: the same key has one effect.

    What is undecided afterwards says so in its row; nothing is raised.
    """
    payment = Payment.objects.get(id=payment_id)
    if payment.state not in kernel.OPEN_STATES:
        return
    try:
        if payment.way == Payment.Way.SAVED:
            _charge(payment, now)
        elif payment.session_id is None:
            _open_page(payment, now)
    except stripe_api.NoAnswer:
        no_answer(payment_id, now=now)
    except stripe_api.Declined as error:
        # The intent says the same; the reason is in the error.
        refused(payment_id, reason=error.code, now=now)
    except stripe_api.Refused as error:
        log.warning("billing.payment.refused", payment_id=str(payment_id), code=error.code)
        refused(payment_id, reason=error.code, now=now)


def _open_page(payment: Payment, now: datetime) -> None:
    if now - payment.created_at > PAGE_OPEN - timedelta(minutes=31):
        # Its page could not be opened any more, and nobody has its address: it cannot be paid.
        refused(payment.id, reason="not_opened", now=now)
        return
    found = stripe_api.create_session(
        payment_id=str(payment.id),
        customer_id=_customer(payment.organisation_id),
        amount_fen=payment.amount_fen,
        currency=payment.currency,
        what=settings.SITE_NAME,
        address=settings.SITE_URL.rstrip("/") + reverse("billing:payment", args=[ids.encode("pay", payment.id)]),
        expires_at=payment.created_at + PAGE_OPEN,
        key=f"payment:{payment.id}:session",
    )
    apply(payment.id, found, now=now)


def _charge(payment: Payment, now: datetime) -> None:
    """Two calls. The first takes no money, so that the second, if its answer is lost, can always be looked up."""
    if payment.intent_id is None:
        if now - payment.created_at > KEY_LIVES:
            refused(payment.id, reason="not_opened", now=now)
            return
        profile = _profile(payment.organisation_id)
        if not profile.method_id:
            refused(payment.id, reason="no_saved_method", now=now)
            return
        found = stripe_api.create_intent(
            payment_id=str(payment.id),
            customer_id=_customer(payment.organisation_id),
            method_id=profile.method_id,
            amount_fen=payment.amount_fen,
            currency=payment.currency,
            key=f"payment:{payment.id}:intent",
        )
        apply(payment.id, found, now=now)
        payment.refresh_from_db()
    if payment.charged_at is not None or payment.intent_id is None:
        return  # once charged, only looking tells
    if Payment.objects.filter(id=payment.id, charged_at__isnull=True).update(charged_at=now):
        apply(payment.id, stripe_api.confirm_intent(payment.intent_id, key=f"payment:{payment.id}:charge"), now=now)


def _customer(organisation_id: UUID) -> str:
    profile = _profile(organisation_id)
    if profile.customer_id:
        return profile.customer_id
    view = organisations.get(organisation_id)
    made = stripe_api.create_customer(
        name=view.legal_name or view.name, organisation=str(organisation_id), key=f"customer:{organisation_id}"
    )
    PaymentProfile.objects.filter(organisation_id=organisation_id, customer_id__isnull=True).update(customer_id=made)
    return str(PaymentProfile.objects.values_list("customer_id", flat=True).get(organisation_id=organisation_id))


def _profile(organisation_id: UUID) -> PaymentProfile:
    PaymentProfile.objects.bulk_create([PaymentProfile(organisation_id=organisation_id)], ignore_conflicts=True)
    return PaymentProfile.objects.get(organisation_id=organisation_id)


def _may_pay(actor: Actor) -> None:
    if not stripe_api.configured():
        raise errors.NotConfigured("This site takes bank transfers only.")
    if not actor.can("billing:write"):
        raise errors.NotAllowed("Only a finance member or the owner may pay for this organisation.")
    if not actor.is_buyer:
        raise errors.NotABuyer("Only an organisation that buys has a wallet to pay into.")


def _check_amount(amount_fen: int) -> None:
    if not LEAST_FEN <= amount_fen <= MOST_FEN:
        raise errors.BadAmount("A payment is between 1 and 1,000,000 yuan.", least_fen=LEAST_FEN, most_fen=MOST_FEN)
