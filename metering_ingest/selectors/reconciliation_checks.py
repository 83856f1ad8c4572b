"""What must hold of comparisons and disputes; a part of metering's `verify`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import connection

from market import selectors as market
from metering_ingest.kernel.comparing import SINGLE, WAITING, Minute, Terms, compare
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.selectors.reconciliation import ComparisonView
from token_standard.catalogue import card_by_digest

_BATCH = 50
_END = datetime(9999, 12, 31, tzinfo=UTC)
Found = tuple[str, str, str]  # rule, subject, detail


def breaches() -> Iterator[Found]:
    """Stored comparisons say what the records say; disputes stay within the count, end once, and their evidence is whole."""
    yield from _comparisons()
    with connection.cursor() as cursor:
        for rule, what, says, sql in _RULES:
            cursor.execute(sql)
            yield from [(rule, f"{what} {row[0]}", says.format(*row[1:])) for row in cursor.fetchall()]


def _comparisons() -> Iterator[Found]:
    """Recompute every allocation whose comparison is not older than its records.

    The state is compared as it stands once nothing is waited for, so that other settings of patience are no breach.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COMPARED)
        allocation_ids = [row[0] for row in cursor.fetchall()]
    for start in range(0, len(allocation_ids), _BATCH):
        batch = allocation_ids[start : start + _BATCH]
        counts = reads.live_counts(batch)
        for allocation in market.allocations_many(batch).values():
            terms = Terms(card_by_digest(allocation.card_digest), allocation.window_end)
            said = {one.minute: one for one in compare(counts.get(allocation.id, ()), terms, now=_END).minutes}
            stored = {one.minute: one for one in reads.minutes_of(allocation.id)}
            for minute in sorted(said.keys() | stored.keys()):
                if not _same(said.get(minute), stored.get(minute)):
                    yield "comparison = recomputed", f"allocation {allocation.id}", f"minute {minute.isoformat()}"


def _same(said: Minute | None, stored: ComparisonView | None) -> bool:
    if said is None or stored is None:
        return False
    waits = stored.state == WAITING and stored.due_at > stored.compared_at
    fields = ("gateway", "agent", "buyer", "causes", "over_micro_st", "under_micro_st")
    return all(getattr(said, name) == getattr(stored, name) for name in fields) and (
        stored.state == said.state or (waits and (said.state == SINGLE or bool(said.causes)))
    )


_COMPARED = """
SELECT c.allocation_id FROM metering_compared c
WHERE c.versions = (SELECT sum(version) FROM metering_bucket b WHERE b.allocation_id = c.allocation_id)
ORDER BY 1
"""

# Voided records count too: what was frozen of them was counted then.
_FREEZE_BEYOND = """
SELECT d.allocation_id, d.micro_st, coalesce(r.micro_st, 0)
FROM (SELECT allocation_id, sum(coalesce(credited_micro_st, freeze_micro_st)) AS micro_st FROM metering_dispute GROUP BY 1) d
LEFT JOIN (SELECT allocation_id, sum(micro_st) AS micro_st FROM metering_usage_record WHERE meter = 'gateway' GROUP BY 1) r
    USING (allocation_id)
WHERE d.micro_st > coalesce(r.micro_st, 0) LIMIT 100
"""

_NO_OUTCOME = """
SELECT d.id, d.credited_micro_st, e.detail ->> 'credited_micro_st'
FROM metering_dispute d
LEFT JOIN metering_dispute_event e ON e.dispute_id = d.id AND e.kind = 'resolved'
WHERE d.state = 'resolved' AND (e.detail ->> 'credited_micro_st')::bigint IS DISTINCT FROM d.credited_micro_st
    OR d.state <> 'resolved' AND e.id IS NOT NULL LIMIT 100
"""

_NO_OPENING = """
SELECT d.id FROM metering_dispute d
WHERE NOT EXISTS (SELECT 1 FROM metering_dispute_event e WHERE e.dispute_id = d.id AND e.kind = 'opened')
    OR NOT EXISTS (SELECT 1 FROM metering_dispute_evidence e WHERE e.dispute_id = d.id)
    OR NOT EXISTS (SELECT 1 FROM metering_dispute_minute m WHERE m.dispute_id = d.id) LIMIT 100
"""

_EVIDENCE_DIFFERS = """
SELECT dispute_id, sha256 FROM metering_dispute_evidence WHERE encode(sha256(content), 'hex') <> sha256 LIMIT 100
"""

_MINUTE_ELSEWHERE = """
SELECT m.dispute_id, m.minute FROM metering_dispute_minute m JOIN metering_dispute d ON d.id = m.dispute_id
WHERE m.allocation_id <> d.allocation_id LIMIT 100
"""

_OTHER_PARTIES = """
SELECT d.id FROM metering_dispute d JOIN market_allocation a ON a.id = d.allocation_id
WHERE (a.buyer_id, a.seller_id) <> (d.buyer_id, d.seller_id) LIMIT 100
"""

_RULES = (
    ("disputes <= counted", "allocation", "frozen or given back {0}, counted {1}", _FREEZE_BEYOND),
    ("resolved = outcome event", "dispute", "credited {0}, event {1}", _NO_OUTCOME),
    ("opened with evidence", "dispute", "no opening event, evidence or minute", _NO_OPENING),
    ("evidence = its hash", "dispute", "{0}", _EVIDENCE_DIFFERS),
    ("a dispute's minutes are its allocation's", "dispute", "minute {0}", _MINUTE_ELSEWHERE),
    ("a dispute's parties are its allocation's", "dispute", "other buyer or seller", _OTHER_PARTIES),
)
