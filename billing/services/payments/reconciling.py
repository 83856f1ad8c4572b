"""Looking at what is not decided yet: after lost webhooks, lost answers and crashes, on the clock or by a button."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db.models import F, Q

from billing.gateways import stripe_api
from billing.kernel import payments as kernel
from billing.payment_models import Payment, Refund
from billing.services.payments import attempts, automatic, refunds, settling, webhooks
from billing.services.payments.errors import Differs

log = structlog.get_logger(__name__)

# A young row is looked at this often, an old one that often: its webhook was lost, or nobody pays.
_YOUNG, _SOON, _SELDOM = timedelta(minutes=10), timedelta(seconds=20), timedelta(minutes=5)
_AT_MOST_SECONDS = 60


def tick(*, now: datetime) -> int:
    """Work webhooks, look at old undecided rows, top up automatically; gives how much there was to do."""
    if not stripe_api.configured():
        return 0
    return webhooks.work_due(now=now) + look_at_undecided(now=now) + automatic.top_up(now=now)


def look_at_undecided(*, now: datetime, limit: int = 50) -> int:
    """Payments and refunds that nobody told us about for a while, the longest unseen first."""
    due = Q(created_at__gt=now - _YOUNG) & _unseen(now - _SOON) | Q(created_at__lte=now - _YOUNG) & _unseen(
        now - _SELDOM
    )
    payments = Payment.objects.filter(due, state__in=kernel.OPEN_STATES).order_by(
        F("looked_at").asc(nulls_first=True), "id"
    )
    sent_back = Refund.objects.filter(due, state__in=kernel.OPEN_STATES).order_by(
        F("looked_at").asc(nulls_first=True), "id"
    )
    payment_ids = list(payments.values_list("id", flat=True)[:limit])
    refund_ids = list(sent_back.values_list("id", flat=True)[:limit])
    steps = [(check, one) for one in payment_ids] + [(check_refund, one) for one in refund_ids]
    until = time.monotonic() + _AT_MOST_SECONDS
    for done, (step, row_id) in enumerate(steps):
        if time.monotonic() > until:  # Stripe is slow or down: other work waits behind this, and the next tick goes on
            return done
        step(row_id, now=now)
    return len(steps)


def _unseen(since: datetime) -> Q:
    return Q(looked_at__lte=since) | Q(looked_at__isnull=True, created_at__lte=since)


def check(payment_id: UUID, *, now: datetime) -> str:
    """Make the call that is still missing, then retrieve; gives the state. Never charges what may have been charged."""
    attempts.go_on(payment_id, now=now)
    try:
        settling.look(payment_id, now=now)
    except (stripe_api.GatewayError, Differs) as error:
        log.warning("billing.payment.unseen", payment_id=str(payment_id), reason=str(error))
    return Payment.objects.values_list("state", flat=True).get(id=payment_id)


def check_refund(refund_id: UUID, *, now: datetime) -> str:
    """The same for a refund."""
    try:
        refunds.go_on(refund_id, now=now)
    except Differs as error:
        log.error("billing.refund.differs", refund_id=str(refund_id), difference=str(error))
    return Refund.objects.values_list("state", flat=True).get(id=refund_id)
