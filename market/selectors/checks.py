"""What must always hold of the market, checked in SQL; each breach names the rows."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

MOST = 100

# What an order asks now: its newest amendment.
_NEWEST = """(SELECT DISTINCT ON (order_id) order_id, quantity_st, limit_micros, cohort, expires_at FROM market_amendment
            ORDER BY order_id, id DESC)"""

_RULES: dict[str, str] = {
    "fills + rest = order": f"""
        SELECT 'order ' || o.id, 'asked ' || coalesce(a.quantity_st, o.quantity_st) || ', filled ' || coalesce(f.filled, 0)
            || ', in the book ' || coalesce(b.quantity_left_st, 0) || ', ended ' || coalesce(e.unfilled_st, 0)
        FROM market_order o LEFT JOIN market_book b ON b.order_id = o.id LEFT JOIN market_orderend e ON e.order_id = o.id
        LEFT JOIN (SELECT order_id, sum(quantity_st) AS filled FROM market_fill GROUP BY 1) f ON f.order_id = o.id
        LEFT JOIN {_NEWEST} a ON a.order_id = o.id
        WHERE coalesce(a.quantity_st, o.quantity_st)
                <> coalesce(f.filled, 0) + coalesce(b.quantity_left_st, 0) + coalesce(e.unfilled_st, 0)
            OR (b.order_id IS NULL) = (e.order_id IS NULL)""",
    "no fill worse than its limit": """
        SELECT 'order ' || o.id, 'limit ' || coalesce(x.limit_micros, a.limit_micros, o.limit_micros) || ', filled at '
            || f.price_micros
        FROM market_fill f JOIN market_order o ON o.id = f.order_id JOIN market_round r ON r.id = f.round_id
        JOIN market_cell c ON c.id = f.cell_id
        LEFT JOIN market_orderchoice x ON x.order_id = f.order_id AND x.product_id = c.product_id
        LEFT JOIN LATERAL (
            SELECT limit_micros FROM market_amendment
            WHERE order_id = o.id AND round_number <= r.number ORDER BY id DESC LIMIT 1
        ) a ON true
        WHERE f.side <> o.side OR CASE o.side WHEN 0 THEN f.price_micros > coalesce(x.limit_micros, a.limit_micros, o.limit_micros)
            ELSE f.price_micros < coalesce(a.limit_micros, o.limit_micros) OR f.cell_id <> o.cell_id END""",
    "the book says what was asked last": f"""
        SELECT 'order ' || o.id, 'asked at ' || coalesce(a.limit_micros, o.limit_micros) || ', in the book at '
            || b.limit_micros || ', or another cohort or expiry'
        FROM market_book b JOIN market_order o ON o.id = b.order_id LEFT JOIN {_NEWEST} a ON a.order_id = o.id
        WHERE (b.limit_micros, b.cohort, b.expires_at) IS DISTINCT FROM (coalesce(a.limit_micros, o.limit_micros),
            coalesce(a.cohort, o.cohort), coalesce(a.expires_at, o.expires_at))""",
    "bought = sold, at one price, in a cell of the product": """
        SELECT 'round ' || f.round_id || ' cell ' || f.cell_id,
            'bought ' || sum(f.quantity_st) FILTER (WHERE f.side = 0) || ', sold ' || sum(f.quantity_st) FILTER (WHERE f.side = 1)
        FROM market_fill f JOIN market_cell c ON c.id = f.cell_id JOIN market_order o ON o.id = f.order_id
        LEFT JOIN market_orderchoice x ON x.order_id = f.order_id AND x.product_id = c.product_id
        GROUP BY f.round_id, f.cell_id
        HAVING sum(CASE f.side WHEN 0 THEN f.quantity_st ELSE -f.quantity_st END) <> 0
            OR min(f.price_micros) <> max(f.price_micros) OR bool_or(o.product_id <> c.product_id AND x.order_id IS NULL)""",
    "a fill's cell is in its order's set, and holds its minimum": """
        SELECT 'order ' || f.order_id, 'filled ' || sum(f.quantity_st) || ' in round ' || f.round_id
        FROM market_orderscope s JOIN market_fill f ON f.order_id = s.order_id JOIN market_cell c ON c.id = f.cell_id
        LEFT JOIN market_orderend e ON e.order_id = f.order_id AND e.reason = 'filled'
        GROUP BY f.order_id, f.round_id, s.minimum_st, e.order_id
        HAVING bool_or(s.vendors <> '{}' AND c.vendor <> ALL (s.vendors) OR s.regions <> '{}' AND c.region <> ALL (s.regions)
            OR s.tiers <> '{}' AND c.tier <> ALL (s.tiers)) OR sum(f.quantity_st) < s.minimum_st AND e.order_id IS NULL""",
    "no fill under data terms that its buyer did not name": """
        SELECT 'order ' || f.order_id, 'filled in cell ' || f.cell_id || ' under ' || c.data_terms
        FROM market_fill f JOIN market_cell c ON c.id = f.cell_id LEFT JOIN market_orderscope s ON s.order_id = f.order_id
        WHERE f.side = 0 AND c.data_terms <> ALL (coalesce(s.data_terms, '{no-retention}'))""",
    "cells told apart trade at the price printed for them": """
        SELECT 'round ' || p.round_id || ' cell ' || p.cell_id, 'printed ' || p.price_micros || ' for ' || p.volume_st
        FROM market_cellprice p LEFT JOIN (
            SELECT round_id, cell_id, sum(quantity_st) FILTER (WHERE side = 0) AS volume, min(price_micros) AS low,
                max(price_micros) AS high FROM market_fill GROUP BY 1, 2
        ) f ON f.round_id = p.round_id AND f.cell_id = p.cell_id
        WHERE (p.volume_st, p.price_micros, p.price_micros) IS DISTINCT FROM (f.volume, f.low, f.high)""",
    "one price a product and round": """
        SELECT 'round ' || p.round_id || ' product ' || p.product_id,
            'printed ' || coalesce(p.price_micros, 0) || ' for ' || p.volume_st || ', filled ' || coalesce(f.volume, 0)
        FROM market_roundprice p LEFT JOIN (
            SELECT f.round_id, c.product_id, sum(f.quantity_st) FILTER (WHERE f.side = 0) AS volume,
                min(f.price_micros) AS low, max(f.price_micros) AS high
            FROM market_fill f JOIN market_cell c ON c.id = f.cell_id GROUP BY 1, 2
        ) f ON f.round_id = p.round_id AND f.product_id = p.product_id
        LEFT JOIN (SELECT DISTINCT round_id, product_id FROM market_cellprice) c
            ON c.round_id = p.round_id AND c.product_id = p.product_id
        WHERE p.volume_st <> coalesce(f.volume, 0) OR p.price_micros NOT BETWEEN p.low_micros AND p.high_micros
            OR CASE WHEN c.round_id IS NULL THEN f.low <> p.price_micros OR f.high <> p.price_micros
                ELSE p.price_micros NOT BETWEEN f.low AND f.high END""",
    "allocations add up to fills": """
        SELECT 'order ' || coalesce(f.order_id, a.order_id) || ' cell ' || coalesce(f.cell_id, a.cell_id),
            'filled ' || coalesce(f.quantity_st, 0) || ', allocated ' || coalesce(a.quantity, 0)
        FROM market_fill f FULL JOIN (
            SELECT round_id, cell_id, buy_order_id AS order_id, sum(quantity_st) AS quantity, min(price_micros) AS low,
                max(price_micros) AS high FROM market_allocation GROUP BY 1, 2, 3
            UNION ALL
            SELECT round_id, cell_id, sell_order_id, sum(quantity_st), min(price_micros), max(price_micros)
            FROM market_allocation GROUP BY 1, 2, 3
        ) a ON a.round_id = f.round_id AND a.cell_id = f.cell_id AND a.order_id = f.order_id
        WHERE f.quantity_st IS DISTINCT FROM a.quantity OR f.price_micros <> a.low OR f.price_micros <> a.high""",
    "an allocation's hold began as what it costs": """
        SELECT 'allocation ' || a.id, 'costs ' || a.quantity_st::numeric * a.price_micros / 1000000 || ', held '
            || coalesce(e.amount_micros, 0)
        FROM market_allocation a LEFT JOIN ledger_holdevent e ON e.hold_id = a.hold_id AND e.kind = 'place'
        WHERE e.amount_micros IS DISTINCT FROM a.quantity_st::numeric * a.price_micros / 1000000""",
    "a round that traded prints its certificate": """
        SELECT 'round ' || r.number, r.fills || ' fills and no certificate'
        FROM market_round r LEFT JOIN market_certificate c ON c.round_id = r.id
        WHERE r.fills > 0 AND c.round_id IS NULL AND r.number > (
            SELECT min(s.number) FROM market_round s JOIN market_certificate d ON d.round_id = s.id
            WHERE s.market_id = r.market_id)""",
    "an allocation says what its orders say": """
        SELECT 'allocation ' || a.id, 'buyer, seller, product or deployment is not that of its orders'
        FROM market_allocation a JOIN market_order b ON b.id = a.buy_order_id JOIN market_order s ON s.id = a.sell_order_id
        JOIN market_supply u ON u.id = s.supply_id JOIN market_round r ON r.id = a.round_id
        LEFT JOIN market_orderchoice x ON x.order_id = b.id AND x.product_id = a.product_id
        WHERE (a.buyer_id, a.seller_id, a.product_id, a.product_id, a.deployment_id, a.pool_id, a.round_number)
            IS DISTINCT FROM (b.organisation_id, s.organisation_id, coalesce(x.product_id, b.product_id), s.product_id,
                u.deployment_id, u.pool_id, r.number)
            OR a.buyer_id = a.seller_id""",
    "sold = fills - cancelled, never beyond what was declared": """
        SELECT 'supply ' || s.id, 'sold ' || s.sold_st || ' of ' || s.offered_st || ', filled ' || coalesce(f.sold, 0)
            || ', cancelled ' || coalesce(x.quantity, 0)
        FROM market_supply s LEFT JOIN (
            SELECT o.supply_id, sum(f.quantity_st) AS sold FROM market_fill f JOIN market_order o ON o.id = f.order_id
            WHERE f.side = 1 GROUP BY 1
        ) f ON f.supply_id = s.id LEFT JOIN (
            SELECT o.supply_id, sum(a.quantity_st) AS quantity FROM market_allocationuse u
            JOIN market_allocation a ON a.id = u.allocation_id JOIN market_order o ON o.id = a.sell_order_id
            WHERE u.cancelled_at IS NOT NULL GROUP BY 1
        ) x ON x.supply_id = s.id
        WHERE s.sold_st <> coalesce(f.sold, 0) - coalesce(x.quantity, 0) OR s.sold_st > s.offered_st""",
    "a closed window's allocation = drawn + undrawn + short + cancelled": """
        SELECT 'allocation ' || a.id, 'bought ' || a.quantity_st::numeric * 1000000 || ', drawn ' || coalesce(u.drawn_micro_st, 0)
            || ', short ' || coalesce(u.short_micro_st, 0) || ', ended ' || coalesce(u.ended_micro_st, 0)
            || CASE WHEN c.allocation_id IS NULL THEN ', without an end' ELSE '' END
        FROM market_allocation a JOIN market_product p ON p.id = a.product_id
        JOIN market_closing k ON k.market_id = p.market_id
        LEFT JOIN market_allocationclose c ON c.allocation_id = a.id LEFT JOIN market_allocationuse u ON u.allocation_id = a.id
        WHERE p.window_end > k.since AND p.window_end <= k.closed_until AND c.allocation_id IS NULL
            OR c.allocation_id IS NOT NULL AND (
                c.bought_micro_st <> a.quantity_st::numeric * 1000000 OR c.ahead <> (a.created_at < p.window_start)
                OR (c.drawn_micro_st, c.short_micro_st, c.cancelled_micro_st + c.undrawn_micro_st)
                    IS DISTINCT FROM (u.drawn_micro_st, u.short_micro_st, u.ended_micro_st)
                OR u.reserved_micro_st <> 0)""",
    "no charge without its reason, none missing": """
        SELECT 'allocation ' || coalesce(h.allocation_id, c.allocation_id), 'charged ' || coalesce(h.micro_st, 0)
            || ', undrawn ' || coalesce(c.undrawn_micro_st, 0)
        FROM (SELECT * FROM market_charge WHERE kind = 'take_or_pay') h
        FULL JOIN (SELECT * FROM market_allocationclose WHERE ahead AND undrawn_micro_st > 0) c
            ON c.allocation_id = h.allocation_id
        JOIN market_allocation a ON a.id = coalesce(h.allocation_id, c.allocation_id)
        WHERE h.micro_st IS DISTINCT FROM c.undrawn_micro_st OR h.price_micros <> a.price_micros
        UNION ALL
        SELECT 'allocation ' || a.id, 'cancelled of ' || a.quantity_st || ' ST: ' || coalesce(h.micro_st, 0)
        FROM (SELECT * FROM market_charge WHERE kind = 'cancellation') h
        FULL JOIN (SELECT * FROM market_allocationuse WHERE cancelled_at IS NOT NULL) u ON u.allocation_id = h.allocation_id
        JOIN market_allocation a ON a.id = coalesce(h.allocation_id, u.allocation_id)
        WHERE h.micro_st IS DISTINCT FROM a.quantity_st::numeric * 1000000 OR u.ended_micro_st IS DISTINCT FROM h.micro_st
            OR u.drawn_micro_st <> 0 OR h.exact > h.micro_st::numeric * a.price_micros""",
    "one deployment of an exclusive group sells in a window": """
        SELECT 'group ' || exclusive_group || ' window ' || window_start, count(DISTINCT deployment_id) || ' deployments'
        FROM market_supply WHERE sold_st > 0 GROUP BY exclusive_group, window_start
        HAVING count(DISTINCT deployment_id) > 1""",
    "drawn and reserved within bought": """
        SELECT 'allocation ' || u.allocation_id, 'bought ' || u.bought_micro_st || ', drawn ' || u.drawn_micro_st
            || ', reserved ' || u.reserved_micro_st || ', ended ' || u.ended_micro_st
            || ', reserved by requests ' || coalesce(r.reserved, 0)
        FROM market_allocationuse u JOIN market_allocation a ON a.id = u.allocation_id LEFT JOIN (
            SELECT p.allocation_id, sum(p.micro_st) AS reserved FROM market_reservationpart p
            JOIN market_reservation v ON v.id = p.reservation_id WHERE v.state = 'open' GROUP BY 1
        ) r ON r.allocation_id = u.allocation_id
        WHERE u.bought_micro_st <> a.quantity_st::numeric * 1000000 OR u.reserved_micro_st <> coalesce(r.reserved, 0)
            OR u.drawn_micro_st + u.reserved_micro_st + u.short_micro_st + u.ended_micro_st > u.bought_micro_st""",
    "what fell short is what its seller owes for": """
        SELECT 'allocation ' || u.allocation_id, 'short ' || u.short_micro_st || ', owed for ' || coalesce(c.micro_st, 0)
        FROM market_allocationuse u LEFT JOIN (
            SELECT allocation_id, sum(micro_st) AS micro_st FROM market_charge WHERE kind = 'shortfall' GROUP BY 1
        ) c ON c.allocation_id = u.allocation_id
        WHERE u.short_micro_st <> coalesce(c.micro_st, 0)""",
    "a lower price only for a broken promise": """
        SELECT 'allocation ' || c.allocation_id, u.kept || ' of ' || u.judged || ' kept, ' || c.micro_st || ' of '
            || u.drawn_micro_st || ' given back at ' || c.price_micros || ' of ' || a.price_micros
        FROM market_charge c JOIN market_allocation a ON a.id = c.allocation_id
        LEFT JOIN market_allocationuse u ON u.allocation_id = c.allocation_id
        WHERE c.kind = 'promise' AND (u.judged IS NULL OR u.kept * 10000 >= u.judged * 9500
            OR c.micro_st > u.drawn_micro_st OR c.price_micros > a.price_micros)""",
    "rounds without gaps, seeds as committed": """
        SELECT 'round ' || r.number, 'state ' || r.state || ', the market is at ' || m.round_number
        FROM market_round r JOIN market_market m ON m.id = r.market_id
        WHERE r.state <> CASE WHEN r.number < m.round_number THEN 'cleared'
                WHEN r.number = m.frozen_round THEN 'frozen' ELSE 'open' END
            OR r.number > coalesce(m.frozen_round + 1, m.round_number)
            OR r.seed IS NOT NULL AND sha256(r.seed) <> r.seed_commitment
        UNION ALL
        SELECT 'market ' || m.slug, count(r.id) || ' rounds, number ' || m.round_number
        FROM market_market m LEFT JOIN market_round r ON r.market_id = m.id GROUP BY m.id
        HAVING count(r.id) <> coalesce(m.frozen_round + 1, m.round_number)""",
    "a bid's hold covers what is open of it": """
        SELECT 'order ' || b.order_id, 'open ' || b.quantity_left_st || ' at ' || b.limit_micros || ', held '
            || coalesce(h.rest_micros, 0)
        FROM market_book b LEFT JOIN ledger_hold h ON h.id = b.hold_id
        WHERE b.side = 0 AND h.rest_micros IS DISTINCT FROM b.quantity_left_st::numeric * b.limit_micros / 1000000""",
    "an ended bid holds nothing": """
        SELECT 'order ' || o.id, 'ended, still held ' || h.rest_micros
        FROM market_order o JOIN market_orderend e ON e.order_id = o.id JOIN ledger_hold h ON h.id = o.hold_id
        WHERE h.rest_micros <> 0""",
}


@dataclass(frozen=True)
class Breach:
    """A rule that does not hold, for which row, and the figures."""

    rule: str
    subject: str
    detail: str


def verify() -> list[Breach]:
    """Every breach, at most 100 of each rule."""
    breaches = []
    with connection.cursor() as cursor:
        for rule, sql in _RULES.items():
            cursor.execute(f"{sql} LIMIT {MOST}")
            breaches += [Breach(rule, subject, detail) for subject, detail in cursor.fetchall()]
    return breaches
