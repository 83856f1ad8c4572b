"""The tier of a pool, which falls when it did not deliver."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts.kernel import ids
from accounts.selectors import actors, organisations
from accounts.services import audit
from market import selectors as market
from providers import locks
from providers.models import Pool

# Far longer than anything keeps this from being looked at.
LATELY = timedelta(days=7)
# One step down; the lowest stays.
_BELOW = {Pool.Tier.VERIFIED: Pool.Tier.LISTED, Pool.Tier.LISTED: Pool.Tier.PROBATION}


def fall(*, now: datetime) -> int:
    """Lower the tier of every pool that fell short since it was last looked at, by one step; gives how many fell.

    Offers posted from here on stand in cells of the new tier. Safe to run at any time, twice too.
    """
    return sum(
        _fall(pool_id, last, now) for pool_id, last in sorted(market.shortfalls_by_pool(since=now - LATELY).items())
    )


def _fall(pool_id: UUID, last: int, now: datetime) -> int:
    with transaction.atomic():
        pool = locks.pool(pool_id)
        if pool is None or pool.shortfall_seen >= last:
            return 0
        before, pool.shortfall_seen = Pool.Tier(pool.tier), last
        pool.tier = _BELOW.get(before, before)
        pool.save(update_fields=["tier", "shortfall_seen"])
        if pool.tier == before:
            return 0
        operator = actors.of_organisation(organisations.operator_id())
        detail = {"from": before.value, "to": pool.tier, "cause": "shortfall"}
        audit.record(actor=operator, action="pool.tier", subject=ids.encode("pol", pool.id), detail=detail, now=now)
    return 1
