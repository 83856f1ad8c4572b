"""Which products clear together with some others now, as flexible bids and shared chips join them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

# Products that share a bid with these, and whether anything is offered in them: only those join what comes after.
_NEIGHBOURS = """
    SELECT DISTINCT y.product_id,
        EXISTS (SELECT FROM market_book o WHERE o.product_id = y.product_id AND o.side = 1 AND o.expires_at > %s)
    FROM market_orderchoice x JOIN market_book b ON b.order_id = x.order_id
    JOIN market_orderchoice y ON y.order_id = x.order_id
    WHERE x.product_id = ANY(%s) AND b.expires_at > %s
    UNION SELECT o.product_id, true
    FROM market_book i JOIN market_supply s ON s.id = i.supply_id
    JOIN market_supply r ON r.exclusive_group = s.exclusive_group AND r.window_start = s.window_start
        AND r.deployment_id <> s.deployment_id
    JOIN market_book o ON o.supply_id = r.id AND o.expires_at > %s
    WHERE i.product_id = ANY(%s) AND i.side = 1
"""


@dataclass(frozen=True)
class Joined:
    """Products that clear together, with those where their bids stand, and how many orders are open in them."""

    product_ids: frozenset[UUID]
    orders: int


def joined(product_ids: Collection[UUID], *, now: datetime, most: int) -> Joined:
    """What clears together with these products; the search ends where there are more than `most` products."""
    found, fresh = set(product_ids), set(product_ids)
    with connection.cursor() as cursor:
        while fresh and len(found) <= most:
            cursor.execute(_NEIGHBOURS, [now, list(fresh), now, now, list(fresh)])
            rows = cursor.fetchall()
            fresh = {product for product, offered in rows if offered and product not in found}
            found |= {product for product, _ in rows}
        cursor.execute(
            "SELECT count(*) FROM market_book WHERE product_id = ANY(%s) AND expires_at > %s", [list(found), now]
        )
        row = cursor.fetchone()
    return Joined(frozenset(found), int(row[0]) if row else 0)
