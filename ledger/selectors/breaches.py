"""Every invariant of the ledger that can be read from a live database, and the rows that break one."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

# At most so many rows are named for each rule.
MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Breach:
    """A row that breaks a rule."""

    rule: str
    subject: str
    detail: str


# Each query gives subject and detail of the rows that break its rule.
RULES = {
    "debits = credits in each transfer": """
        SELECT 'transfer ' || t.id,
            count(e.id) || ' entries, debits - credits = ' ||
            coalesce(sum(CASE e.direction WHEN 'debit' THEN e.amount_micros ELSE -e.amount_micros END), 0)
        FROM ledger_transfer t LEFT JOIN ledger_entry e ON e.transfer_id = t.id GROUP BY t.id
        HAVING count(e.id) < 2
            OR sum(CASE e.direction WHEN 'debit' THEN e.amount_micros ELSE -e.amount_micros END) <> 0
            OR min(e.position) <> 0 OR max(e.position) <> count(e.id) - 1""",
    "an entry has a transfer and an account of one currency": """
        SELECT 'entry ' || e.id,
            'transfer in ' || coalesce(t.currency, 'none') || ', account in ' || coalesce(a.currency, 'none')
        FROM ledger_entry e LEFT JOIN ledger_transfer t ON t.id = e.transfer_id
            LEFT JOIN ledger_account a ON a.id = e.account_id
        WHERE t.id IS NULL OR a.id IS NULL OR a.currency <> t.currency""",
    "a transfer is what its hash was taken of": """
        SELECT 'transfer ' || t.id, 'key ' || t.key FROM ledger_transfer t
        WHERE t.content_hash <> sha256(convert_to(concat_ws(E'\\n', t.kind, t.currency,
            (SELECT string_agg(e.direction || ' ' || e.account_id || ' ' || e.amount_micros, E'\\n' ORDER BY e.position)
            FROM ledger_entry e WHERE e.transfer_id = t.id), t.reason), 'UTF8'))""",
    "stored total = sum of entries": """
        SELECT 'account ' || a.id, 'stored ' || a.posted_micros || ', entries ' || coalesce(s.total, 0)
        FROM ledger_account a LEFT JOIN (
            SELECT b.id, sum(CASE e.direction WHEN b.normal_side THEN e.amount_micros ELSE -e.amount_micros END) total
            FROM ledger_entry e JOIN ledger_account b ON b.id = e.account_id WHERE b.stored GROUP BY b.id
        ) s ON s.id = a.id WHERE a.stored AND a.posted_micros <> coalesce(s.total, 0)""",
    "held total = sum of the rests of holds": """
        SELECT 'account ' || a.id, 'held ' || a.held_micros || ', rests ' || coalesce(s.total, 0)
        FROM ledger_account a
            LEFT JOIN (SELECT account_id, sum(rest_micros) AS total FROM ledger_hold GROUP BY 1) s
            ON s.account_id = a.id
        WHERE a.held_micros <> coalesce(s.total, 0)""",
    "rest of a hold = sum of its events": """
        SELECT 'hold ' || h.id, 'rest ' || h.rest_micros || ', events ' || coalesce(s.total, 0)
        FROM ledger_hold h LEFT JOIN (
            SELECT hold_id,
                sum(CASE WHEN kind IN ('place', 'increase') THEN amount_micros ELSE -amount_micros END) AS total
            FROM ledger_holdevent GROUP BY 1
        ) s ON s.hold_id = h.id WHERE h.rest_micros <> coalesce(s.total, 0) OR h.rest_micros < 0""",
    "a child holds what was split from its parent": """
        SELECT 'hold ' || h.id, 'placed ' || p.amount_micros || ', split ' || coalesce(s.amount_micros::text, 'never')
        FROM ledger_hold h JOIN ledger_holdevent p ON p.hold_id = h.id AND p.kind = 'place'
            LEFT JOIN ledger_holdevent s ON s.child_id = h.id AND s.kind = 'split' AND s.hold_id = h.parent_id
            LEFT JOIN ledger_hold o ON o.id = h.parent_id
        WHERE h.parent_id IS NOT NULL AND (s.amount_micros IS DISTINCT FROM p.amount_micros
            OR o.account_id IS DISTINCT FROM h.account_id)""",
    "what a hold posts leaves its account": """
        WITH posted AS (
            SELECT v.transfer_id, h.account_id, sum(v.amount_micros) AS micros FROM ledger_holdevent v
            JOIN ledger_hold h ON h.id = v.hold_id WHERE v.kind = 'post' GROUP BY 1, 2
        ), left_account AS (
            SELECT e.transfer_id, e.account_id,
                sum(CASE e.direction WHEN a.normal_side THEN -e.amount_micros ELSE e.amount_micros END) AS micros
            FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
            WHERE e.transfer_id IN (SELECT transfer_id FROM posted) GROUP BY 1, 2
        )
        SELECT 'transfer ' || p.transfer_id, 'holds post ' || p.micros || ', leaves ' || coalesce(l.micros, 0)
        FROM posted p LEFT JOIN left_account l USING (transfer_id, account_id)
        WHERE coalesce(l.micros, 0) < p.micros""",
    "no account is below its floor": """
        SELECT 'account ' || id, posted_micros || ' posted, ' || held_micros || ' held, floor ' || floor_micros
        FROM ledger_account WHERE stored AND posted_micros - held_micros < floor_micros OR held_micros < 0""",
    "all accounts of a currency add up to 0": """
        SELECT 'currency ' || t.currency, 'debits - credits = ' ||
            sum(CASE e.direction WHEN 'debit' THEN e.amount_micros ELSE -e.amount_micros END)
        FROM ledger_entry e JOIN ledger_transfer t ON t.id = e.transfer_id GROUP BY t.currency
        HAVING sum(CASE e.direction WHEN 'debit' THEN e.amount_micros ELSE -e.amount_micros END) <> 0""",
}


def verify() -> list[Breach]:
    """Check every rule; each breach names its row. No breach, no rows."""
    found = []
    with connection.cursor() as cursor:
        for rule, query in RULES.items():
            cursor.execute(f"SELECT * FROM ({query}) broken LIMIT {MOST_NAMED}")
            found += [Breach(rule, str(subject), str(detail)) for subject, detail in cursor.fetchall()]
    return found
