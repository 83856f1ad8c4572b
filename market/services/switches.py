"""The dead man's switch: who falls silent has no open orders after a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts.kernel.actor import Actor
from accounts.selectors import actors
from accounts.services import audit
from market import locks, selectors
from market.models import CancelAfter
from market.selectors import MarketState
from market.services import orders

MOST_SECONDS = 86_400


def cancel_all_after(seconds: int, *, actor: Actor, now: datetime) -> datetime | None:
    """Cancel the organisation's open orders after so many seconds, unless called again; 0 turns that off.

    Gives the instant at which it fires, None where it is off.
    """
    assert 0 <= seconds <= MOST_SECONDS
    market_id, owner = selectors.market_id(), actor.organisation_id
    fire_due(market_id, now=now)  # one that is due has fired, also where no round or sweep came by yet
    if not seconds:
        CancelAfter.objects.filter(market_id=market_id, organisation_id=owner).delete()
        return None
    fires_at = now + timedelta(seconds=seconds)
    CancelAfter.objects.update_or_create(
        market_id=market_id,
        organisation_id=owner,
        defaults={"fires_at": fires_at, "set_by": actor.user_id or actor.key_id, "set_at": now},
    )
    return fires_at


def fire_due(market_id: UUID, *, now: datetime) -> int:
    """Cancel the orders of the organisations whose switch fires; gives how many orders. Each switch fires once.

    Runs before a round freezes its orders, and with the sweep. It is a
    transaction of its own: a round that fails does not bring the orders back.
    """
    # Nearly always there is none, and then the book need not be waited for.
    if not CancelAfter.objects.filter(market_id=market_id, fires_at__lte=now).exists():
        return 0
    with transaction.atomic():
        market = orders.market_to_change_orders(market_id)
        return sum(_fire(market, switch, now) for switch in locks.switches_due(market_id, now))


def _fire(market: MarketState, switch: CancelAfter, now: datetime) -> int:
    # What came after it was due belongs to somebody who is there again.
    where = (
        "market_id = %s AND organisation_id = %s AND order_id IN (SELECT id FROM market_order WHERE created_at <= %s)"
    )
    values = [switch.market_id, switch.organisation_id, switch.fires_at]
    ended = orders.end(market, where, values, "cancelled", now=now)
    switch.delete()
    if ended:
        owner = actors.of_organisation(switch.organisation_id)
        detail = {"orders": ended, "cause": "cancel_all_after"}
        audit.record(actor=owner, action="orders.cancelled", subject="all", detail=detail, now=now)
    return ended
