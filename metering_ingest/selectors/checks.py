"""What must hold of the meter, read from the tables: the nightly proof, and `verify`."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from metering_ingest.selectors import reconciliation_checks


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold, and the row that breaks it."""

    rule: str
    subject: str
    detail: str


def verify() -> list[Breach]:
    """Roll-up = raw less what was voided; one key, one row; settled, sequences, gaps and reversals as they must be."""
    found: list[Breach] = []
    with connection.cursor() as cursor:
        for rule, what, says, sql in _RULES:
            cursor.execute(sql)
            found += [Breach(rule, f"{what} {row[0]}", says.format(*row[1:])) for row in cursor.fetchall()]
    return found + [Breach(*one) for one in reconciliation_checks.breaches()]


_ROLL_UP_DIFFERS = """
WITH amounts AS (
    SELECT allocation_id, card_digest, meter, 1 AS records, prompt_tokens, cached_tokens, billable_tokens, micro_st
    FROM metering_usage_record
    UNION ALL
    SELECT allocation_id, card_digest, meter, -1, -prompt_tokens, -cached_tokens, -completion_tokens, -micro_st
    FROM metering_reversal
), raw AS (
    SELECT allocation_id, card_digest, meter, sum(records) AS records, sum(prompt_tokens) AS p, sum(cached_tokens) AS c,
           sum(billable_tokens) AS g, sum(micro_st) AS s
    FROM amounts GROUP BY 1, 2, 3
)
SELECT coalesce(b.id::text, raw.allocation_id::text),
       concat_ws('/', b.records, b.prompt_tokens, b.cached_tokens, b.completion_tokens, b.micro_st),
       concat_ws('/', raw.records, raw.p, raw.c, raw.g, raw.s)
FROM metering_bucket b FULL JOIN raw USING (allocation_id, card_digest, meter)
WHERE (b.records, b.prompt_tokens, b.cached_tokens, b.completion_tokens, b.micro_st)
      IS DISTINCT FROM (raw.records, raw.p, raw.c, raw.g, raw.s)
LIMIT 100
"""

# A quarantined record that was released has its quarantine row, and beside it the record that counts.
_KEY_UNUSED = """
SELECT k.key, count(r.key) + count(v.key) + count(q.key)
FROM metering_usage_key k
LEFT JOIN metering_usage_record r ON r.key = k.key AND r.arrived_on = k.arrived_on
LEFT JOIN metering_void v ON v.key = k.key
LEFT JOIN metering_quarantine q ON q.key = k.key
    AND NOT EXISTS (SELECT 1 FROM metering_resolution s WHERE s.key = q.key AND s.action = 'released')
GROUP BY k.key HAVING count(r.key) + count(v.key) + count(q.key) <> 1 LIMIT 100
"""

_SETTLED_GAP = """
SELECT sequence FROM (
    SELECT sequence, lag(sequence, 1, 0::bigint) OVER (ORDER BY sequence) AS previous FROM metering_settled_bucket
) s WHERE sequence <> previous + 1 LIMIT 100
"""

# What was voided after a bucket was settled may have taken it below what was settled.
_SETTLED_BEYOND = """
WITH voided AS (
    SELECT allocation_id, card_digest, meter, count(*) AS records, sum(prompt_tokens) AS p, sum(cached_tokens) AS c,
           sum(completion_tokens) AS g, sum(micro_st) AS s
    FROM metering_reversal GROUP BY 1, 2, 3
)
SELECT s.sequence, s.version
FROM metering_settled_bucket s JOIN metering_bucket b ON b.id = s.bucket_id
LEFT JOIN voided v USING (allocation_id, card_digest, meter)
WHERE s.version > b.settled_version OR s.records > b.records + coalesce(v.records, 0)
    OR s.prompt_tokens > b.prompt_tokens + coalesce(v.p, 0) OR s.cached_tokens > b.cached_tokens + coalesce(v.c, 0)
    OR s.completion_tokens > b.completion_tokens + coalesce(v.g, 0) OR s.micro_st > b.micro_st + coalesce(v.s, 0)
    OR s.version = b.version AND (s.records, s.prompt_tokens, s.cached_tokens, s.completion_tokens, s.micro_st)
        <> (b.records, b.prompt_tokens, b.cached_tokens, b.completion_tokens, b.micro_st)
ORDER BY s.sequence LIMIT 100
"""

_REVERSAL_DIFFERS = """
SELECT x.key, x.void_key
FROM metering_reversal x
LEFT JOIN metering_usage_key k ON k.key = x.key
LEFT JOIN metering_usage_record r ON r.key = x.key AND r.arrived_on = k.arrived_on
LEFT JOIN metering_void v ON v.key = x.void_key
WHERE v.voided_key IS DISTINCT FROM x.key
    OR (r.allocation_id, r.card_digest, r.meter, r.prompt_tokens, r.cached_tokens, r.billable_tokens, r.micro_st)
       IS DISTINCT FROM (x.allocation_id, x.card_digest, x.meter, x.prompt_tokens, x.cached_tokens,
                         x.completion_tokens, x.micro_st)
LIMIT 100
"""

_VOID_WITHOUT_EFFECT = """
SELECT r.key, v.key
FROM metering_void v JOIN metering_usage_key k ON k.key = v.voided_key
JOIN metering_usage_record r ON r.key = k.key AND r.arrived_on = k.arrived_on
WHERE (v.evidence = 'signed' OR r.evidence = 'unsigned')
    AND NOT EXISTS (SELECT 1 FROM metering_reversal x WHERE x.key = r.key)
LIMIT 100
"""

_RECEIVED_DIFFERS = """
SELECT e.id, e.received, q.places
FROM metering_epoch e
FULL JOIN (SELECT epoch_id, range_agg(int8range(seq, seq, '[]')) AS places FROM metering_sequence GROUP BY 1) q
    ON q.epoch_id = e.id
WHERE coalesce(e.received, '{}') IS DISTINCT FROM coalesce(q.places, '{}') LIMIT 100
"""

_PLACE_OF_NOTHING = """
SELECT q.epoch_id, q.seq, q.key
FROM metering_sequence q
WHERE NOT EXISTS (SELECT 1 FROM metering_usage_key k WHERE k.key = q.key) LIMIT 100
"""

_RELEASED_UNCOUNTED = """
SELECT s.key, s.action
FROM metering_resolution s JOIN metering_usage_key k ON k.key = s.key
LEFT JOIN metering_usage_record r ON r.key = s.key AND r.arrived_on = k.arrived_on
LEFT JOIN metering_void v ON v.key = s.key
WHERE (s.action = 'released') <> (r.key IS NOT NULL OR v.key IS NOT NULL) LIMIT 100
"""

_RULES = (
    ("roll-up = raw", "bucket", "roll-up {0}, raw {1}", _ROLL_UP_DIFFERS),
    ("one key, one record", "key", "{0} rows", _KEY_UNUSED),
    ("settled sequence contiguous", "sequence", "a gap before it", _SETTLED_GAP),
    ("settled <= bucket", "sequence", "version {0}", _SETTLED_BEYOND),
    ("reversed = recorded", "key", "taken back by {0} with other amounts, or by nothing", _REVERSAL_DIFFERS),
    ("voided = reversed", "key", "voided by {0} and still counted", _VOID_WITHOUT_EFFECT),
    ("received = sequences", "epoch", "received {0}, stored {1}", _RECEIVED_DIFFERS),
    ("a sequence is of a record", "epoch", "sequence {0} has the unknown key {1}", _PLACE_OF_NOTHING),
    ("released = counted", "key", "{0}", _RELEASED_UNCOUNTED),
)
