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


def classify(
    event: UsageEvent,
    allocation: AllocationFacts | None,
    *,
    sender_id: UUID,
    sender_is_operator: bool,
    card: Card | None,
    now: datetime,
) -> Counted | Refused:
    """Judge one event. An allocation that is not the sender's is as unknown as one that does not exist."""
    meter = _meter(allocation, sender_id, sender_is_operator)
    if allocation is None or meter is None:
        return Refused("unknown_allocation")
    if card is None or event.card_digest != allocation.card_digest:
        return Refused("unknown_card")
    if event.time > now + EARLY:
        return Refused("future_time")
    if event.time < now - LATE:
        return Refused("too_late")
    if not allocation.window_start - EARLY <= event.time < allocation.window_end + TAIL:
        return Refused("outside_window")
    billable = event.billable_tokens
    cached = event.cached_tokens
    micro_st = usage.micro_st(card, n=event.prompt_tokens - cached, c=cached, g=billable)
    return Counted(meter, billable, micro_st)


def _meter(allocation: AllocationFacts | None, sender_id: UUID, sender_is_operator: bool) -> str | None:
    if sender_is_operator:
        return "gateway"
    if allocation is None:
        return None
    return {allocation.seller_id: "agent", allocation.buyer_id: "buyer"}.get(sender_id)
