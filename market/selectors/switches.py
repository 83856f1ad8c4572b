"""The dead man's switch of an organisation, as it stands."""

from __future__ import annotations

from datetime import datetime

from accounts.kernel.actor import Actor
from market.models import CancelAfter
from market.selectors.catalogue import market_state


def cancel_after(actor: Actor, *, now: datetime) -> datetime | None:
    """When the open orders of the actor's organisation are cancelled unless the switch is set again; None where it is off.

    One that is due has fired or does so before the next round, so it is off too.
    """
    market = market_state()
    if market is None:
        return None
    rows = CancelAfter.objects.filter(market_id=market.id, organisation_id=actor.organisation_id, fires_at__gt=now)
    return rows.values_list("fires_at", flat=True).first()
