"""The rules of billing that can be read back from a live database, each as the query that finds what breaks it."""

from __future__ import annotations

from typing import Any

from django.db import connection

from billing.selectors import document_checks, payments
from billing.selectors.rows import Breach


def verify() -> list[Breach]:
    """Rated = settled, consumed <= bought, posted = floor(exact), invoice = sum of lines, numbers contiguous."""
    found: list[Breach] = []
    for rule, sql in (_RULES | payments.RULES | document_checks.RULES).items():
        with connection.cursor() as cursor:
            cursor.execute(sql)
            found += [_breach(rule, row) for row in cursor.fetchall()]
    return found


def _breach(rule: str, row: tuple[Any, ...]) -> Breach:
    return Breach(rule, str(row[0]), str(row[1]))


_RULES = {
    "settled bucket = its live rated lines": """
        WITH newest AS (
            SELECT DISTINCT ON (s.bucket_id) s.bucket_id, s.micro_st, b.allocation_id
            FROM metering_settled_bucket s JOIN metering_bucket b ON b.id = s.bucket_id
            WHERE b.meter = 'gateway' AND s.sequence <= (SELECT sequence FROM billing_ratingwatermark WHERE id = 1)
            ORDER BY s.bucket_id, s.version DESC
        ), rated AS (
            SELECT bucket_id, sum(micro_st) AS micro_st FROM billing_ratedline WHERE live GROUP BY 1
        )
        SELECT 'bucket ' || n.bucket_id, 'settled ' || n.micro_st || ', rated ' || coalesce(r.micro_st, 0)
        FROM newest n LEFT JOIN rated r USING (bucket_id)
        JOIN market_allocation a ON a.id = n.allocation_id
        WHERE n.micro_st <> coalesce(r.micro_st, 0) AND NOT EXISTS (
            SELECT 1 FROM billing_ratingexception x
            WHERE x.organisation_id = a.buyer_id AND x.product_id = a.product_id AND x.resolved_at IS NULL
        ) LIMIT 100""",
    "consumed <= bought, at the allocation's price": """
        SELECT 'allocation ' || a.id, 'rated ' || sum(r.micro_st) || ' of ' || a.quantity_st * 1000000
        FROM billing_ratedline r JOIN market_allocation a ON a.id = r.allocation_id
        WHERE r.live GROUP BY a.id
        HAVING sum(r.micro_st) > a.quantity_st::numeric * 1000000
            OR bool_or(r.source <> 'cancellation' AND r.price_micros <> a.price_micros)
        LIMIT 100""",
    "every charge is billed once": """
        WITH billed AS (
            SELECT charge_id, sum(micro_st) AS micro_st, sum(exact) AS exact FROM billing_ratedline
            WHERE live AND charge_id IS NOT NULL GROUP BY 1
        ), full_groups AS (  -- usage that came late takes the place of what was charged
            SELECT a.buyer_id, a.product_id FROM market_allocation a
            LEFT JOIN LATERAL (
                SELECT sum(micro_st) AS micro_st FROM billing_ratedline WHERE live AND allocation_id = a.id
            ) r ON true
            LEFT JOIN market_allocationuse u ON u.allocation_id = a.id
            GROUP BY 1, 2
            HAVING sum(CASE WHEN u.cancelled_at IS NULL
                    THEN a.quantity_st::numeric * 1000000 - coalesce(u.short_micro_st, 0) ELSE r.micro_st END)
                <= coalesce(sum(r.micro_st), 0)
        )
        SELECT 'charge ' || c.id, 'charged ' || c.micro_st || ' for ' || c.exact || ', billed '
            || coalesce(b.micro_st, 0) || ' for ' || coalesce(b.exact, 0)
        FROM market_charge c JOIN market_allocation a ON a.id = c.allocation_id LEFT JOIN billed b ON b.charge_id = c.id
        WHERE c.kind IN ('take_or_pay', 'cancellation')
            AND c.id <= (SELECT charge_id FROM billing_ratingwatermark WHERE id = 1)
            AND (coalesce(b.micro_st, 0) > c.micro_st
                OR c.kind = 'cancellation' AND b.exact IS DISTINCT FROM c.exact
                OR coalesce(b.micro_st, 0) < c.micro_st
                    AND (a.buyer_id, a.product_id) NOT IN (SELECT buyer_id, product_id FROM full_groups))
        LIMIT 100""",
    "what a seller gave back is what the ledger says, at most what it owed": """
        SELECT 'charge ' || k.charge_id, 'owed ' || c.exact || ', paid ' || k.paid_micros || ' of ' || k.owed_micros
            || ', in the ledger ' || coalesce(e.amount, 0)
        FROM billing_credit k JOIN market_charge c ON c.id = k.charge_id LEFT JOIN (
            SELECT split_part(t.key, ':', 2) AS charge, sum(n.amount_micros) AS amount
            FROM ledger_transfer t JOIN ledger_entry n ON n.transfer_id = t.id
            WHERE n.direction = 'credit' AND t.kind IN ('promise', 'shortfall') GROUP BY 1
        ) e ON e.charge = k.charge_id::text
        WHERE k.owed_micros <> floor(c.exact / 1000000000000) OR k.paid_micros <> coalesce(e.amount, 0)
        LIMIT 100""",
    "posted = floor of exact": """
        SELECT 'allocation ' || p.allocation_id,
               'posted ' || p.posted_micros || ', exact ' || coalesce(sum(r.exact), 0)
        FROM billing_allocationposting p
        LEFT JOIN billing_ratedline r ON r.allocation_id = p.allocation_id AND r.live
        GROUP BY p.allocation_id
        HAVING p.posted_micros <> floor(coalesce(sum(r.exact), 0) / 1000000000000) LIMIT 100""",
    "invoice = sum of its lines": """
        SELECT 'invoice ' || i.id, 'total ' || i.total_fen || ', lines ' || coalesce(sum(l.amount_fen), 0)
        FROM billing_invoice i LEFT JOIN billing_invoiceline l ON l.invoice_id = i.id
        GROUP BY i.id
        HAVING i.total_fen <> coalesce(sum(l.amount_fen), 0) OR i.net_fen <> coalesce(sum(l.net_fen), 0)
            OR i.tax_fen <> coalesce(sum(l.tax_fen), 0) OR i.exact <> coalesce(sum(l.exact), 0)
            OR i.rounding_exact <> i.exact - i.total_fen::numeric * 10000000000000000 LIMIT 100""",
    "invoice line = sum of its rated lines": """
        SELECT 'invoice line ' || l.id, 'line ' || l.micro_st || ', rated ' || coalesce(sum(r.micro_st), 0)
        FROM billing_invoiceline l LEFT JOIN billing_ratedline r ON r.invoice_line_id = l.id AND r.live
        GROUP BY l.id
        HAVING l.micro_st <> coalesce(sum(r.micro_st), 0) OR l.exact <> coalesce(sum(r.exact), 0)
            OR l.amount_fen <> floor(l.exact / 10000000000000000 + 0.5) LIMIT 100""",
    "invoice numbers contiguous": """
        SELECT 'series ' || i.series, 'numbers ' || min(i.number) || ' to ' || max(i.number)
               || ', ' || count(*) || ' invoices'
        FROM billing_invoice i JOIN billing_numberseries n ON n.series = i.series
        GROUP BY i.series, n.last
        HAVING min(i.number) <> 1 OR max(i.number) <> count(*) OR n.last <> count(*)""",
    "unbilled = posted - closed - contested - rounding": """
        WITH posted AS (
            SELECT organisation_id, sum(posted_micros - closed_micros - frozen_micros - credited_micros) AS micros,
                   sum(owed_invoiced_micros) AS owed
            FROM billing_allocationposting GROUP BY 1
        ), invoiced AS (
            SELECT organisation_id, sum(total_fen::numeric * 10000 - settled_micros) AS micros
            FROM billing_invoice GROUP BY 1
        ), unbilled AS (
            SELECT a.organisation_id,
                   sum(CASE e.direction WHEN 'credit' THEN e.amount_micros ELSE -e.amount_micros END) AS micros
            FROM ledger_account a JOIN ledger_entry e ON e.account_id = a.id
            WHERE a.kind = 'unbilled' GROUP BY 1
        )
        SELECT 'organisation ' || p.organisation_id,
               'unbilled ' || coalesce(u.micros, 0) || ', posted and open ' || p.micros
               || ', fen ' || coalesce(i.micros, 0) - p.owed
        FROM posted p LEFT JOIN unbilled u USING (organisation_id) LEFT JOIN invoiced i USING (organisation_id)
        WHERE coalesce(u.micros, 0) <> p.micros + coalesce(i.micros, 0) - p.owed LIMIT 100""",
    "suspense = what disputes have frozen": """
        WITH frozen AS (
            SELECT seller_id, sum(unbilled_micros + held_micros) AS micros FROM billing_contestedamount
            WHERE settled_at IS NULL GROUP BY 1
        ), suspense AS (
            SELECT a.organisation_id AS seller_id,
                   sum(CASE e.direction WHEN 'credit' THEN e.amount_micros ELSE -e.amount_micros END) AS micros
            FROM ledger_account a JOIN ledger_entry e ON e.account_id = a.id WHERE a.kind = 'suspense' GROUP BY 1
        )
        SELECT 'organisation ' || seller_id,
               'frozen ' || coalesce(f.micros, 0) || ', in suspense ' || coalesce(s.micros, 0)
        FROM frozen f FULL JOIN suspense s USING (seller_id)
        WHERE coalesce(f.micros, 0) <> coalesce(s.micros, 0) LIMIT 100""",
    "what a dispute gave back is what the ledger says": """
        WITH given AS (
            SELECT split_part(t.key, ':', 2) AS dispute, sum(e.amount_micros) AS micros
            FROM ledger_transfer t JOIN ledger_entry e ON e.transfer_id = t.id
            JOIN ledger_account a ON a.id = e.account_id
            WHERE t.kind = 'dispute' AND a.kind = 'wallet' AND e.direction = 'credit' GROUP BY 1
        )
        SELECT 'dispute ' || c.dispute_id, 'paid ' || c.paid_micros || ' of ' || coalesce(c.credited_micros, 0)
            || ', in the ledger ' || coalesce(g.micros, 0)
        FROM billing_contestedamount c LEFT JOIN given g ON g.dispute = c.dispute_id::text
        WHERE c.paid_micros <> coalesce(g.micros, 0) LIMIT 100""",
    "a posting's contested parts are its disputes'": """
        SELECT 'allocation ' || p.allocation_id,
               'frozen ' || p.frozen_micros || ', by disputes ' || coalesce(sum(c.unbilled_micros), 0)
        FROM billing_allocationposting p
        LEFT JOIN billing_contestedamount c ON c.allocation_id = p.allocation_id AND c.settled_at IS NULL
        GROUP BY p.allocation_id HAVING p.frozen_micros <> coalesce(sum(c.unbilled_micros), 0) LIMIT 100""",
}
