"""The cheapest offer of many products, as a bid would meet it now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import connection

from market.kernel import windows
from market.kernel.freezing import deliverable_st
from market.kernel.orders import DATA_TERMS
from market.selectors.catalogue import ProductView
from market.selectors.halts import stopped

_OFFERS = """
    SELECT b.supply_id, b.product_id, b.limit_micros, b.quantity_left_st, c.data_terms = %s,
        s.offered_st, s.sold_st, s.rate_st_per_second, s.due_micro_st_per_second
    FROM market_book b JOIN market_supply s ON s.id = b.supply_id JOIN market_cell c ON c.id = b.cell_id
    WHERE b.side = 1 AND b.product_id = ANY(%s) AND b.expires_at > %s
        AND b.organisation_id <> ALL(%s::uuid[]) AND b.product_id <> ALL(%s::uuid[])
    ORDER BY b.sequence
"""


def best_offers(products: Collection[ProductView], *, now: datetime) -> dict[UUID, int]:
    """By product the lowest limit (micro-yuan per million ST) that `depth` shows too; products without one are left out."""
    return {product_id: price for product_id, (price, _) in offered(products, now=now).items()}


def offered(products: Collection[ProductView], *, now: datetime) -> dict[UUID, tuple[int, int]]:
    """By product: the lowest limit, and the ST on offer, to a bid that says nothing of data terms.

    What a supply can still deliver goes to its offers in their order; one that gets nothing of it is none.
    """
    by_id = {one.id: one for one in products}
    out = stopped(now=now)
    with connection.cursor() as cursor:
        cursor.execute(_OFFERS, [DATA_TERMS[0], list(by_id), now, out.organisation_ids, out.product_ids])
        rows = cursor.fetchall()
    found: dict[UUID, tuple[int, int]] = {}
    before: dict[UUID, int] = defaultdict(int)
    for supply, product_id, limit, left, strict, offered, sold, rate, due in rows:
        product = by_id[product_id]
        seconds = windows.seconds_left(product.window_start, now)
        most = deliverable_st(offered=offered, sold=sold, rate=rate, due_micro=due, seconds=seconds, lot=product.lot_st)
        available = min(left, most - before[supply])
        if strict and available > 0:
            price, quantity = found.get(product_id, (limit, 0))
            found[product_id] = (min(limit, price), quantity + available)
        before[supply] += left
    return found
