"""A saved card, and top-ups by it when the wallet runs low: off by default, never beyond the month's cap."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Sum

from accounts import services as accounts
from accounts.kernel.actor import Actor
from billing import locks
from billing.gateways import stripe_api
from billing.kernel import payments as kernel
from billing.kernel.periods import PeriodKind, period_of
from billing.payment_models import Payment, PaymentProfile
from billing.services.payments import errors
from billing.services.payments.attempts import LEAST_FEN, MOST_FEN, go_on
from ledger import selectors as ledger

log = structlog.get_logger(__name__)

# A card is not charged again sooner than this, so that a wallet which is spent at once empties no bank account.
_PAUSE = timedelta(minutes=5)


def configure(
    *, actor: Actor, enabled: bool, threshold_micros: int = 0, amount_fen: int = 0, monthly_cap_fen: int = 0,
    now: datetime,
) -> None:  # fmt: skip
    """Switch automatic top-up on or off.

    :raises NotAllowed: the actor lacks `billing:write`.
    :raises NoSavedMethod: there is no saved card.
    :raises BadAutomatic: threshold not positive, amount out of range, or cap below the amount.
    """
    if not actor.can("billing:write"):
        raise errors.NotAllowed("Only a finance member or the owner may change automatic top-up.")
    fits = threshold_micros > 0 and LEAST_FEN <= amount_fen <= min(monthly_cap_fen, MOST_FEN)
    if enabled and not fits:
        raise errors.BadAutomatic("A threshold above 0, and an amount of 1 yuan or more within the month's cap.")
    with transaction.atomic():
        profile = locks.payment_profile(actor.organisation_id)
        if enabled and not profile.method_id:
            raise errors.NoSavedMethod("Save a card first.")
        profile.automatic, profile.paused_reason = enabled, ""
        profile.automatic_since = now if enabled else None
        if enabled:
            profile.threshold_micros, profile.amount_fen = threshold_micros, amount_fen
            profile.monthly_cap_fen = monthly_cap_fen
        profile.save()
        detail = {"enabled": enabled, "threshold_micros": threshold_micros, "amount_fen": amount_fen,
                  "monthly_cap_fen": monthly_cap_fen}  # fmt: skip
        accounts.audit.record(actor=actor, action="payment.automatic.changed", subject=str(actor.organisation_id),
                              detail=detail, now=now)  # fmt: skip


def forget_card(*, actor: Actor, now: datetime) -> None:
    """Remove the saved card here, then at Stripe; automatic top-up ends with it.

    :raises NotAllowed: the actor lacks `billing:write`.
    """
    if not actor.can("billing:write"):
        raise errors.NotAllowed("Only a finance member or the owner may remove the card.")
    with transaction.atomic():
        profile = locks.payment_profile(actor.organisation_id)
        method_id = profile.method_id
        profile.method_id = profile.method_brand = profile.method_last4 = ""
        profile.automatic = False
        profile.save()
        accounts.audit.record(actor=actor, action="payment.card.removed", subject=str(actor.organisation_id),
                              detail={}, now=now)  # fmt: skip
    if method_id:
        try:
            stripe_api.forget_method(method_id)
        except stripe_api.GatewayError as error:  # nothing here charges it any more
            log.warning("billing.card.not_detached", organisation_id=str(actor.organisation_id), code=error.code)


def top_up(*, now: datetime) -> int:
    """Charge the saved cards of wallets below their threshold; gives how many attempts were made."""
    made = 0
    due = PaymentProfile.objects.filter(automatic=True).order_by("organisation_id")
    for organisation_id in list(due.values_list("organisation_id", flat=True)):
        payment_id = _open(organisation_id, now)
        if payment_id is not None:
            go_on(payment_id, now=now)
            made += 1
    return made


def _open(organisation_id: UUID, now: datetime) -> UUID | None:
    """The attempt's row, where one is due. The database allows one undecided attempt an organisation."""
    currency = settings.MARKET_CURRENCY
    try:
        with transaction.atomic():
            profile = locks.payment_profile(organisation_id)
            if not profile.automatic or ledger.wallet(organisation_id, currency).available_micros >= (
                profile.threshold_micros
            ):
                return None
            earlier = Payment.objects.filter(organisation_id=organisation_id, purpose=Payment.Purpose.AUTOMATIC)
            last = earlier.order_by("-id").first()
            if last and last.state == kernel.FAILED and last.created_at >= (profile.automatic_since or now):
                # A card that is declined once would be declined every few minutes.
                profile.automatic, profile.paused_reason = False, (last.reason or "failed")[:60]
                profile.save()
                return None
            if last and (last.state in kernel.OPEN_STATES or now - last.created_at < _PAUSE):
                return None
            month = period_of(PeriodKind.MONTH, now)
            spent = earlier.filter(created_at__gte=month.start).exclude(state__in=[kernel.FAILED, kernel.EXPIRED])
            if (spent.aggregate(fen=Sum("amount_fen"))["fen"] or 0) + profile.amount_fen > profile.monthly_cap_fen:
                return None
            payment = Payment(
                organisation_id=organisation_id, purpose=Payment.Purpose.AUTOMATIC, way=Payment.Way.SAVED,
                amount_fen=profile.amount_fen, currency=currency, created_at=now,
            )  # fmt: skip
            payment.save(force_insert=True)
    except IntegrityError:
        return None
    return payment.id
