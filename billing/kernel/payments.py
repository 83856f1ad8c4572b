"""What may follow what in a payment's life. Pure: what Stripe says of an object goes in, our state comes out."""

from __future__ import annotations

from dataclasses import dataclass

CREATED, UNKNOWN, PENDING, FAILED, EXPIRED, SETTLED = "created", "unknown", "pending", "failed", "expired", "settled"
# Not decided yet: a second attempt of the same kind has to wait for these.
OPEN_STATES = (CREATED, UNKNOWN, PENDING)

# A state is only ever replaced by one of at least its rank. So it does not matter in which order two answers of
# Stripe are applied, nor how old one of them is: what says that money came stands above everything.
_PAYMENT_RANKS = {CREATED: 0, UNKNOWN: 1, PENDING: 1, FAILED: 2, EXPIRED: 2, SETTLED: 3}
# A refund may still come back after it succeeded, and is final then.
_REFUND_RANKS = {CREATED: 0, UNKNOWN: 1, PENDING: 1, SETTLED: 2, FAILED: 3}


@dataclass(frozen=True, slots=True)
class Found:
    """What an object retrieved from the rail says. Amount in fen; None where the object names none."""

    state: str
    amount_fen: int | None = None
    currency: str = ""
    live: bool = False
    session_id: str | None = None
    intent_id: str | None = None
    url: str = ""
    reason: str = ""


def payment_step(current: str, found: str) -> str:
    """The state of a payment after an answer that says `found`."""
    return found if _PAYMENT_RANKS[found] >= _PAYMENT_RANKS[current] else current


def refund_step(current: str, found: str) -> str:
    """The state of a refund after an answer that says `found`."""
    return found if _REFUND_RANKS[found] >= _REFUND_RANKS[current] else current


def of_session(status: str, payment_status: str, *, saves_method: bool, declined: bool = False) -> str:
    """A Checkout Session: open, complete (paid, or paid later, or `declined` later) or expired."""
    if status == "complete" and (payment_status == "paid" or saves_method):
        return SETTLED
    if status == "complete" and declined:
        return FAILED
    return EXPIRED if status == "expired" else PENDING


def of_intent(status: str, *, failed: bool) -> str:
    """A Payment Intent that we confirm without the buyer; `failed`: an attempt was declined."""
    if status == "succeeded":
        return SETTLED
    if status == "canceled" or (status in {"requires_payment_method", "requires_action"} and failed):
        return FAILED
    return PENDING


def of_refund(status: str) -> str:
    """A Refund."""
    return {"succeeded": SETTLED, "failed": FAILED, "canceled": FAILED}.get(status, PENDING)
