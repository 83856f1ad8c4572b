"""Stripe, through its own SDK: every call with a time-out and a typed error. The only module that imports it.

The SDK repeats nothing by itself: what an answer that never came means is for
the services to say, and they say it with the same idempotency key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import stripe
from django.conf import settings

from billing.kernel import payments as kernel
from billing.kernel.payments import Found

_TOLERANCE_SECONDS = 300


class GatewayError(Exception):
    """A call did not succeed; `code` is stable."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class NoAnswer(GatewayError):
    """Nobody knows whether the call had its effect: a time-out, a broken line, a fault at Stripe, or too many calls."""


class Declined(GatewayError):
    """The bank said no, or wants the buyer to be there."""


class Refused(GatewayError):
    """Stripe did not take the call: our mistake, or a rule of the account. It had no effect."""


class Missing(Refused):
    """No such object in this account."""


class BadSignature(Exception):
    """Not from Stripe, or not from now."""


@dataclass(frozen=True, slots=True)
class Method:
    """A saved card: Stripe's id of it, and what may be shown."""

    id: str
    brand: str
    last4: str
    month: int
    year: int


@dataclass(frozen=True, slots=True)
class MoneyMoved:
    """A balance transaction, in fen. `intent_id` where its source belongs to one."""

    id: str
    kind: str
    amount_fen: int
    fee_fen: int
    currency: str
    source_id: str
    intent_id: str
    at: int


def configured() -> bool:
    """Whether this site takes payments by Stripe at all."""
    return bool(settings.STRIPE_SECRET_KEY)


def create_customer(*, name: str, organisation: str, key: str) -> str:
    """The id of a new customer, or of the one that the same key made."""
    params = {"name": name, "metadata": {"organisation": organisation}}
    return str(_call(lambda client, options: client.v1.customers.create(cast(Any, params), options), key)["id"])


def create_session(
    *,
    payment_id: str,
    customer_id: str,
    amount_fen: int,
    currency: str,
    what: str,
    address: str,
    expires_at: datetime,
    key: str,
) -> Found:
    """A Checkout Session on Stripe's page; amount 0 saves a card instead of charging one."""
    metadata = {"payment": payment_id}
    params: dict[str, Any] = {
        "customer": customer_id,
        "client_reference_id": payment_id,
        "metadata": metadata,
        "success_url": f"{address}?back=1",
        "cancel_url": f"{address}?cancelled=1",
        "expires_at": int(expires_at.timestamp()),
    }
    if amount_fen:
        price = {"currency": currency.lower(), "unit_amount": amount_fen, "product_data": {"name": what}}
        params |= {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": 1}],
            "payment_intent_data": {"metadata": metadata},
        }
        # Without a list the account's own settings decide.
        if methods := list(settings.STRIPE_PAYMENT_METHODS):
            params["payment_method_types"] = methods
            if "wechat_pay" in methods:
                params["payment_method_options"] = {"wechat_pay": {"client": "web"}}
    else:
        params |= {
            "mode": "setup",
            "currency": currency.lower(),
            "payment_method_types": ["card"],  # Alipay and WeChat Pay cannot be charged without the buyer
            "setup_intent_data": {"metadata": metadata},
        }
    made = _call(lambda client, options: client.v1.checkout.sessions.create(cast(Any, params), options), key)
    return _session(made)


def retrieve_session(session_id: str) -> Found:
    """What a Checkout Session says now, with its intent: of a payment that failed after all only the intent tells."""
    params = {"expand": ["payment_intent"]}
    return _session(
        _call(lambda client, options: client.v1.checkout.sessions.retrieve(session_id, cast(Any, params), options))
    )


def saved_method(session_id: str) -> Method:
    """The card that a finished session of mode `setup` saved."""
    params = {"expand": ["setup_intent.payment_method"]}
    found = _call(lambda client, options: client.v1.checkout.sessions.retrieve(session_id, cast(Any, params), options))
    method = found["setup_intent"]["payment_method"]
    card = method["card"]
    return Method(method["id"], card["brand"], card["last4"], int(card["exp_month"]), int(card["exp_year"]))


def forget_method(method_id: str) -> None:
    """Detach a saved card; that there is none any more is fine."""
    try:
        _call(lambda client, options: client.v1.payment_methods.detach(method_id, None, options))
    except Missing:
        return


def create_intent(
    *, payment_id: str, customer_id: str, method_id: str, amount_fen: int, currency: str, key: str
) -> Found:
    """A Payment Intent that takes nothing yet: only `confirm_intent` does."""
    params = {
        "amount": amount_fen,
        "currency": currency.lower(),
        "customer": customer_id,
        "payment_method": method_id,
        "payment_method_types": ["card"],
        "metadata": {"payment": payment_id},
    }
    return _intent(_call(lambda client, options: client.v1.payment_intents.create(cast(Any, params), options), key))


def confirm_intent(intent_id: str, *, key: str) -> Found:
    """Charge the saved card while the buyer is away."""
    params = {"off_session": True}
    return _intent(
        _call(lambda client, options: client.v1.payment_intents.confirm(intent_id, cast(Any, params), options), key)
    )


def cancel_intent(intent_id: str, *, key: str) -> Found:
    """Make sure that an intent never charges any more."""
    return _intent(_call(lambda client, options: client.v1.payment_intents.cancel(intent_id, None, options), key))


def retrieve_intent(intent_id: str) -> Found:
    """What a Payment Intent says now."""
    return _intent(_call(lambda client, options: client.v1.payment_intents.retrieve(intent_id, None, options)))


def create_refund(*, refund_id: str, intent_id: str, amount_fen: int, key: str) -> tuple[str, Found]:
    """Send money back; gives the refund's id and state."""
    params = {"payment_intent": intent_id, "amount": amount_fen, "metadata": {"refund": refund_id}}
    return _refund(_call(lambda client, options: client.v1.refunds.create(cast(Any, params), options), key))


def retrieve_refund(stripe_id: str) -> tuple[str, Found]:
    """What a refund says now."""
    return _refund(_call(lambda client, options: client.v1.refunds.retrieve(stripe_id, None, options)))


def find_refund(*, intent_id: str, refund_id: str) -> tuple[str, Found] | None:
    """Our refund among those of a payment, where the answer to its call was lost."""
    params = {"payment_intent": intent_id, "limit": 100}
    rows = _call(lambda client, options: client.v1.refunds.list(cast(Any, params), options))["data"]
    ours = [row for row in rows if (row.get("metadata") or {}).get("refund") == refund_id]
    return _refund(ours[0]) if ours else None


def money_moved(*, since: datetime, until: datetime) -> Iterator[MoneyMoved]:
    """Balance transactions created in [since, until), newest first."""
    params: dict[str, Any] = {
        "created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())},
        "limit": 100,
        "expand": ["data.source"],
    }
    while True:
        page = _call(lambda client, options: client.v1.balance_transactions.list(cast(Any, params), options))
        for row in page["data"]:
            source = row.get("source") or {}
            details = source if isinstance(source, dict) else {"id": source}
            intent = details.get("payment_intent") or ""
            yield MoneyMoved(
                row["id"], row["type"], int(row["amount"]), int(row["fee"]), row["currency"].upper(),
                str(details.get("id", "")), intent if isinstance(intent, str) else intent["id"], int(row["created"]),
            )  # fmt: skip
        if not page["has_more"]:
            return
        params["starting_after"] = page["data"][-1]["id"]


def verified(body: bytes, signature: str, *, now: datetime) -> None:
    """Refuse what Stripe did not sign within the last five minutes.

    The SDK asks only whether a signature is too old, so times that lie ahead are refused here.

    :raises BadSignature: see there.
    """
    try:
        text = body.decode()
        stripe.WebhookSignature.verify_header(text, signature, settings.STRIPE_WEBHOOK_SECRET, _TOLERANCE_SECONDS)
        signed = int(next(part[2:] for part in signature.split(",") if part.startswith("t=")))
    except (stripe.SignatureVerificationError, UnicodeDecodeError, ValueError, StopIteration) as error:
        raise BadSignature from error
    if signed - now.timestamp() > _TOLERANCE_SECONDS:
        raise BadSignature


def live() -> bool:
    """Whether the key is of a live account."""
    return "_live_" in settings.STRIPE_SECRET_KEY


def _call(step: Callable[[stripe.StripeClient, Any], Any], key: str | None = None) -> dict[str, Any]:
    client = _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE, settings.STRIPE_TIMEOUT_SECONDS)
    try:
        answer = step(client, {"idempotency_key": key} if key else {})
    except stripe.CardError as error:
        raise Declined(str(error.user_message or error), error.code or "card_declined") from error
    except stripe.InvalidRequestError as error:
        kind = Missing if error.code == "resource_missing" else Refused
        raise kind(str(error), error.code or "refused") from error
    except (stripe.AuthenticationError, stripe.PermissionError, stripe.IdempotencyError) as error:
        raise Refused(str(error), error.code or type(error).__name__.lower()) from error
    except stripe.StripeError as error:
        raise NoAnswer(str(error), "no_answer") from error
    return dict(answer.to_dict())  # the SDK's objects are no dicts


@lru_cache(maxsize=4)
def _client(secret_key: str, address: str, timeout: float) -> stripe.StripeClient:
    where: Any = {"api": address} if address else None
    return stripe.StripeClient(
        secret_key, base_addresses=where, max_network_retries=0, http_client=stripe.RequestsClient(timeout=timeout)
    )


def _session(answer: dict[str, Any]) -> Found:
    saves = answer["mode"] == "setup"
    intent = answer.get("payment_intent")
    outcome = _intent(intent) if isinstance(intent, dict) else None
    state = kernel.of_session(
        answer["status"],
        answer["payment_status"],
        saves_method=saves,
        declined=outcome is not None and outcome.state == kernel.FAILED,
    )
    return Found(
        state=state,
        amount_fen=0 if saves else answer["amount_total"],
        currency="" if saves else answer["currency"].upper(),
        live=answer["livemode"],
        session_id=answer["id"],
        intent_id=_id(intent),
        url=answer.get("url") or "",
        reason=outcome.reason if outcome and state == kernel.FAILED else "",
    )


def _intent(answer: dict[str, Any]) -> Found:
    error = answer.get("last_payment_error") or {}
    # What was taken, once something was: that is what the wallet gets.
    amount = answer["amount_received"] if answer["status"] == "succeeded" else answer["amount"]
    return Found(
        state=kernel.of_intent(answer["status"], failed=bool(error)),
        amount_fen=amount,
        currency=answer["currency"].upper(),
        live=answer["livemode"],
        intent_id=answer["id"],
        reason=error.get("decline_code") or error.get("code") or "",
    )


def _refund(answer: dict[str, Any]) -> tuple[str, Found]:
    found = Found(
        state=kernel.of_refund(answer["status"]),
        amount_fen=answer["amount"],
        currency=answer["currency"].upper(),
        intent_id=_id(answer.get("payment_intent")),
        reason=answer.get("failure_reason") or "",
    )
    return answer["id"], found


def _id(value: Any) -> str | None:
    """Stripe gives an id, or the object itself where it was asked to expand it."""
    return value if value is None or isinstance(value, str) else str(value["id"])
