"""Webhooks: verified, stored under Stripe's own id, answered, and worked afterwards by fetching the object anew."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F

from accounts.kernel.errors import DomainError
from billing import locks
from billing.gateways import stripe_api
from billing.kernel import payments as kernel
from billing.payment_models import Payment, Refund, StripeEvent
from billing.services.payments import refunds, settling
from billing.services.payments.errors import Differs

log = structlog.get_logger(__name__)

_MOST_TRIES = 8
_MOST_BYTES = 256 * 1024


class BadWebhook(DomainError):
    """Not signed by Stripe, not from now, or no event."""

    code = "bad_webhook"
    status = 400


def receive(*, body: bytes, signature: str, now: datetime) -> bool:
    """Store an event; False where it was stored before. Nothing is worked here.

    :raises BadWebhook: see there.
    """
    try:
        stripe_api.verified(body, signature, now=now)
        event = json.loads(body)
        identifier, kind = str(event["id"]), str(event["type"])
        about = event["data"]["object"]
        object_id = str(about.get("id", ""))
    except (stripe_api.BadSignature, ValueError, KeyError, TypeError, AttributeError):
        raise BadWebhook("This is no event that Stripe signed within the last five minutes.") from None
    if len(body) > _MOST_BYTES or max(len(identifier), len(kind), len(object_id)) > 80 or "\\u0000" in body.decode():
        raise BadWebhook("This event is longer than events are.")
    with connection.cursor() as cursor:  # one statement, which also says whether it was the first
        cursor.execute(_STORE, [identifier, kind, object_id, body.decode(), now, now])
        return bool(cursor.rowcount)


_STORE = (
    "INSERT INTO billing_stripeevent (id, kind, object_id, payload, state, tries, reason, due_at, received_at) "
    "VALUES (%s, %s, %s, %s, 'received', 0, '', %s, %s) ON CONFLICT (id) DO NOTHING"
)


def work_due(*, now: datetime, limit: int = 100) -> int:
    """Work the events that wait; gives how many. One that fails waits longer each time, then is parked.

    Where Stripe does not answer the rest is left for the next tick: other work waits behind this.
    """
    waiting = StripeEvent.objects.filter(state=StripeEvent.State.RECEIVED, due_at__lte=now).order_by("due_at", "id")
    done = 0
    for event_id in list(waiting.values_list("id", flat=True)[:limit]):
        done += 1
        if not work(event_id, now=now):
            break
    return done


def work(event_id: str, *, now: datetime) -> bool:
    """Work one event; False where Stripe does not answer. Twice, or two at once, changes nothing."""
    event = StripeEvent.objects.filter(id=event_id, state=StripeEvent.State.RECEIVED).first()
    if event is None:
        return True
    try:
        state, reason = _work(json.loads(event.payload), now)
    except stripe_api.NoAnswer:
        _again(event_id, "no_answer", now)
        return False
    except (Differs, stripe_api.GatewayError, DomainError) as error:
        reason = str(getattr(error, "code", "") or error)
        log.warning("billing.stripe_event.failed", event_id=event_id, reason=reason)
        _again(event_id, reason, now)
        return True
    _finish(event_id, state, reason, now)
    return True


def retry(event_id: str, *, now: datetime) -> None:
    """Staff let a parked event try again."""
    parked = StripeEvent.objects.filter(id=event_id, state=StripeEvent.State.PARKED)
    parked.update(state=StripeEvent.State.RECEIVED, tries=0, due_at=now)


def _again(event_id: str, reason: str, now: datetime) -> None:
    with transaction.atomic():
        event = locks.stripe_event(event_id)
        if event is None:
            return
        event.tries += 1
        event.reason = reason[:200]
        event.due_at = now + timedelta(seconds=10 * 3 ** min(event.tries, 7))
        if event.tries >= _MOST_TRIES:
            event.state, event.worked_at = StripeEvent.State.PARKED, now
        event.save()


def _finish(event_id: str, state: str, reason: str, now: datetime) -> None:
    StripeEvent.objects.filter(id=event_id, state=StripeEvent.State.RECEIVED).update(
        state=state, reason=reason[:200], worked_at=now, tries=F("tries") + 1
    )


def _work(event: dict[str, Any], now: datetime) -> tuple[str, str]:
    """Which state the event has afterwards, and why. The payload only says which of our rows to look at."""
    about = event["data"]["object"]
    if stranger := _stranger(event):
        return StripeEvent.State.PARKED, stranger
    if about.get("object") == "refund":
        return _work_refund(about, now)
    payment = _payment(about)
    if payment is None:
        return StripeEvent.State.IGNORED, "not_ours"
    if payment.state != kernel.SETTLED:
        _look_at_payment(payment, about, now)
    return StripeEvent.State.DONE, ""


def _stranger(event: dict[str, Any]) -> str:
    """Why a person has to look at it; empty where none has to."""
    if event.get("account"):
        return "other_account"
    if bool(event.get("livemode")) != stripe_api.live():
        return "mode_differs"
    return "dispute_needs_staff" if event["type"] == "charge.dispute.created" else ""


def _work_refund(about: dict[str, Any], now: datetime) -> tuple[str, str]:
    refund_id = _ours(about, "refund")
    refund = Refund.objects.filter(id=refund_id).first() if refund_id else None
    if refund is not None:
        refunds.apply(refund.id, *stripe_api.retrieve_refund(refund.stripe_id or str(about["id"])), now=now)
        return StripeEvent.State.DONE, ""
    # Sent back in Stripe's dashboard: the ledger does not know it, so a person has to.
    ours = Payment.objects.filter(intent_id=_id(about.get("payment_intent"))).exists()
    return (StripeEvent.State.PARKED, "refund_not_ours") if ours else (StripeEvent.State.IGNORED, "not_ours")


def _payment(about: dict[str, Any]) -> Payment | None:
    """Our row behind a session, an intent, or a charge (which has its intent's metadata)."""
    if about.get("object") not in {"checkout.session", "payment_intent", "charge", "setup_intent"}:
        return None
    payment_id = _ours(about, "payment")
    return Payment.objects.filter(id=payment_id).first() if payment_id else None


def _look_at_payment(payment: Payment, about: dict[str, Any], now: datetime) -> None:
    """By the row's own ids where it has them, else by the event's: the answer to our call may have been lost."""
    if payment.session_id or payment.intent_id:
        settling.look(payment.id, now=now)
    elif about["object"] == "checkout.session" and payment.way == Payment.Way.CHECKOUT:
        settling.apply(payment.id, stripe_api.retrieve_session(about["id"]), now=now)
    elif payment.way == Payment.Way.SAVED and about["object"] == "payment_intent":
        settling.apply(payment.id, stripe_api.retrieve_intent(about["id"]), now=now)


def _ours(about: dict[str, Any], name: str) -> UUID | None:
    try:
        return UUID(str((about.get("metadata") or {}).get(name, "")))
    except ValueError:
        return None


def _id(value: Any) -> str:
    return str(value.get("id")) if isinstance(value, dict) else str(value or "")
