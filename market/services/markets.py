"""The market itself: made, halted, resumed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.kernel.actor import Actor
from accounts.services import audit
from market import locks
from market.kernel import closing
from market.kernel.orders import Terms
from market.models import GradeTerms, Market, Round
from market.services import freezing, orders

GRADES: Mapping[str, Terms] = {
    "realtime": Terms(10_000, 1_000),
    "interactive": Terms(10_000, 1_000),
    "batch": Terms(10_000, 1_000),
}


def create(
    *,
    slug: str,
    name: str,
    operator_id: UUID,
    now: datetime,
    currency: str = "CNY",
    fee_bps: int = 0,
    tick_seconds: int = 5,
    settlement_mode: str = "principal",
    grades: Mapping[str, Terms] = GRADES,
) -> UUID:
    """Make a market and open its first round; gives its id."""
    seed = secrets.token_bytes(closing.SEED_BYTES)
    with transaction.atomic():
        market = Market.objects.create(
            slug=slug,
            name=name,
            operator_id=operator_id,
            currency=currency,
            fee_bps=fee_bps,
            tick_seconds=tick_seconds,
            settlement_mode=settlement_mode,
            seed=seed,
            next_close_at=closing.next_close(now, tick_seconds=tick_seconds, seed=seed),
            created_at=now,
        )
        Round.objects.create(market=market, number=1, seed_commitment=closing.commitment(seed), opened_at=now)
        GradeTerms.objects.bulk_create(
            GradeTerms(market=market, grade=grade, tick_micros=terms.tick_micros, lot_st=terms.lot_st)
            for grade, terms in grades.items()
        )
    return market.id


def halt(market_id: UUID, *, reason: str, actor: Actor, now: datetime) -> None:
    """Stop taking orders and clearing rounds, at once unless one is being written; cancelling goes on."""
    _change(market_id, Market.State.HALTED, reason, actor, now)


def resume(market_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Go on after a halt, or after a round that could not be cleared was parked."""
    _change(market_id, Market.State.OPEN, "", actor, now)


def _change(market_id: UUID, state: Market.State, reason: str, actor: Actor, now: datetime) -> None:
    with transaction.atomic():
        market = locks.market_to_change(market_id)
        set_state(market, state, reason, now=now)
        audit.record(
            actor=actor, action=f"market.{state}", subject=str(market_id), detail={"reason": reason[:500]}, now=now
        )


def set_state(market: Market, state: Market.State, reason: str, *, now: datetime) -> None:
    """Open, halt or park a market whose row is locked. A round that is being cleared is frozen anew once it is open.

    What was to end with that round ends now, since nobody knows when it will be.
    """
    locks.book_alone(market.id)
    freezing.take_back(market.id)
    market.state, market.state_reason, market.failures = state, reason[:500], 0
    market.save(update_fields=["state", "state_reason", "failures"])
    if state != Market.State.OPEN:
        orders.end_marked(market.id, now=now)
