"""Whether an event counts, by which meter, and for how many standard tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from metering_ingest.kernel.events import UsageEvent
from token_standard import usage
from token_standard.cards import Card

LATE = timedelta(days=35)
EARLY = timedelta(minutes=5)
# A request admitted in its window may bring its first token a little after the window's end.
TAIL = timedelta(minutes=15)
# Ten thousand million ST: no request comes near it, and sums of records stay within what the database can hold.
MOST_MICRO_ST = 10**16


class AllocationFacts(Protocol):
    """What metering must know of an allocation."""

    @property
    def buyer_id(self) -> UUID: ...
    @property
    def seller_id(self) -> UUID: ...
    @property
    def window_start(self) -> datetime: ...
    @property
    def window_end(self) -> datetime: ...
    @property
    def card_digest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """The event counts: who counted it, the tokens that may be billed, and their micro-ST."""

    meter: str
    billable_tokens: int
    micro_st: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The event is kept but not counted."""

    reason: str


_VOID = Counted("", 0, 0)


def classify(
    event: UsageEvent,
    allocation: AllocationFacts | None,
    *,
    sender_id: UUID,
    sender_is_operator: bool,
    card: Card | None,
    now: datetime,
    lifted: bool = False,
) -> Counted | Refused:
    """Judge one event. An allocation that is not the sender's is as unknown as one that does not exist.

    A void is judged by its time alone. `lifted` takes events however old they are.
    """
    reason = _when(event, now, lifted)
    if event.voids is not None:
        return Refused(reason) if reason else _VOID
    meter = _meter(allocation, sender_id, sender_is_operator)
    if allocation is None or meter is None:
        return Refused("unknown_allocation")
    if card is None or event.card_digest != allocation.card_digest:
        return Refused("unknown_card")
    if not reason and not allocation.window_start - EARLY <= event.time < allocation.window_end + TAIL:
        reason = "outside_window"
    if not reason and event.aggregate is not None and meter == "gateway":
        reason = "aggregate_not_billable"
    if reason:
        return Refused(reason)
    billable = event.billable_tokens
    cached = event.cached_tokens
    requests = 1 if event.aggregate is None else event.aggregate.records
    micro_st = _micro_st(card, event.prompt_tokens - cached, cached, billable, requests)
    return Refused("beyond_belief") if micro_st > MOST_MICRO_ST else Counted(meter, billable, micro_st)


def _when(event: UsageEvent, now: datetime, lifted: bool) -> str:
    """What is wrong with an event's time, whatever it is of; empty where nothing is."""
    if event.time > now + EARLY:
        return "future_time"
    return "too_late" if event.time < now - LATE and not lifted else ""


def _micro_st(card: Card, n: int, c: int, g: int, requests: int) -> int:
    """What a record costs; one that stands for many requests costs what as many equal ones would.

    Attention grows with the square of a request's length, so the sum alone would cost far too much. It is a floor:
    requests of unequal lengths cost more. Aggregates are witnesses only and are never billed.
    """
    if requests == 1:
        return usage.micro_st(card, n=n, c=c, g=g)
    each = usage.micro_st(card, n=n // requests, c=c // requests, g=g // requests)
    rest = usage.micro_st(card, n=n % requests, c=c % requests, g=g % requests)
    return each * requests + rest


def _meter(allocation: AllocationFacts | None, sender_id: UUID, sender_is_operator: bool) -> str | None:
    if sender_is_operator:
        return "gateway"
    if allocation is None:
        return None
    if allocation.buyer_id == sender_id:
        return "buyer"
    return "agent" if allocation.seller_id == sender_id else None
