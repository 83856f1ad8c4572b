"""Which orders of some organisations changed: two readings of their states, and the difference.

Nothing is asked of the writers: an order is open with a row in the book, or it has ended. The row's hash tells
any change of it. An order that was placed and ended between two readings is found by its id, which begins with the
time of its making; it may become visible as much later as a transaction lasts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

# Above the longest transaction of intake.
LATE = timedelta(minutes=2)
ENDED = 0

States = Mapping[UUID, int]


def new_since(now: datetime) -> UUID:
    """Ids of orders from here on may not have been seen yet."""
    return UUID(int=max(0, int((now - LATE).timestamp() * 1_000)) << 80)


def marks(organisation_ids: Collection[UUID], since: UUID) -> dict[UUID, tuple[int, int, int]]:
    """By organisation, three numbers that change when an order does: one row each, however many orders are open."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.id, coalesce(b.open, 0), coalesce(b.hash, 0), (SELECT count(*) FROM market_order o "
            "WHERE o.organisation_id = i.id AND o.id > %s) FROM unnest(%s::uuid[]) AS i(id) LEFT JOIN ("
            "SELECT organisation_id, count(*) AS open, sum(hash_record_extended(b, 0)) AS hash FROM market_book b "
            "WHERE organisation_id = ANY(%s) GROUP BY 1) b ON b.organisation_id = i.id",
            [since, list(organisation_ids), list(organisation_ids)],
        )
        return {owner: (count, int(digest), recent) for owner, count, digest, recent in cursor.fetchall()}


def states(organisation_ids: Collection[UUID], since: UUID) -> dict[UUID, dict[UUID, int]]:
    """By organisation: each open order with the hash of how it stands, and each new one that has ended with 0."""
    found: dict[UUID, dict[UUID, int]] = {owner: {} for owner in organisation_ids}
    with connection.cursor() as cursor:
        # One statement, one snapshot: an order cannot leave the book between its two halves.
        cursor.execute(
            "SELECT b.organisation_id, b.order_id, hash_record_extended(b, 0) FROM market_book b "
            "WHERE b.organisation_id = ANY(%s) UNION ALL "
            "SELECT o.organisation_id, o.id, 0 FROM market_order o WHERE o.organisation_id = ANY(%s) AND o.id > %s "
            "AND NOT EXISTS (SELECT 1 FROM market_book b WHERE b.order_id = o.id)",
            [list(organisation_ids), list(organisation_ids), since],
        )
        for owner, order_id, state in cursor.fetchall():
            found[owner][order_id] = state
    return found


def changed(before: States, after: States) -> list[UUID]:
    """Orders that are new, stand otherwise or have ended, oldest first."""
    gone = {order_id for order_id, state in before.items() if state != ENDED and order_id not in after}
    return sorted(gone | {order_id for order_id, state in after.items() if before.get(order_id) != state})
