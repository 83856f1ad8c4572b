"""Housekeeping, found in the tables: what has expired, windows that are over, old holds, old frames, new windows."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F

from ledger import services as ledger
from market.models import FeedFrame, Market
from market.services import catalogue, draws, obligations, orders, switches

FEED_KEPT = timedelta(hours=1)
BATCH = 2_000


def sweep(*, now: datetime) -> int:
    """Do what is due; gives how many orders, reservations and holds were ended. Safe to run at any time, twice too."""
    catalogue.open_products(now=now)
    ended = 0
    for market_id in Market.objects.values_list("id", flat=True):
        ended += switches.fire_due(market_id, now=now) + expire_orders(market_id, now=now)
    ended += draws.release_expired(now=now)
    ended += obligations.close_windows(now=now)
    ended += ledger.expire_holds(now=now, limit=BATCH)
    # The newest frame is the snapshot of a halted market, however old it is.
    newest = F("market__round_number") - 1
    FeedFrame.objects.filter(created_at__lt=now - FEED_KEPT, sequence__lt=newest).delete()
    return ended


def expire_orders(market_id: UUID, *, now: datetime) -> int:
    """End the orders of a market whose time is over, in batches; gives how many."""
    ended = 0
    while True:
        with transaction.atomic():
            batch = orders.end(
                orders.market_to_change_orders(market_id),
                "order_id IN (SELECT order_id FROM market_book WHERE market_id = %s AND expires_at <= %s "
                "AND ending IS NULL ORDER BY order_id LIMIT %s FOR UPDATE SKIP LOCKED)",
                [market_id, now, BATCH],
                "expired",
                now=now,
            )
        ended += batch
        if batch < BATCH:
            return ended
