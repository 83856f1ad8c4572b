"""Voids: a record taken back exactly once, whichever of the two comes first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import connection

from metering_ingest.kernel.identity import key_hex
from metering_ingest.services.rows import Bucket, Claim, array

_LOCK_CLASS = 0x766F6964  # "void"


def lock(claims: Sequence[Claim]) -> None:
    """Keep records and voids of one organisation apart until the end of the transaction.

    A void and its record that arrive at the same time would not see each other.
    Records share the lock, so only a void waits, and only a void makes others wait.
    """
    alone: dict[int, bool] = {}
    for one in claims:
        number = _number(one)
        alone[number] = alone.get(number, False) or one.event.voids is not None
    with connection.cursor() as cursor:
        for number, exclusive in sorted(alone.items()):
            shared = "" if exclusive else "_shared"
            cursor.execute(f"SELECT pg_advisory_xact_lock{shared}(%s, %s)", [_LOCK_CLASS, number])


def keep(voiding: Sequence[Claim], now: datetime) -> None:
    """Write voids."""
    if not voiding:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_void (key, voided_key, tenant, evidence, agent_id, source, event_id, occurred_at, "
            "received_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (c.key, voided_key(c), c.sender.tenant, c.sender.evidence, c.sender.agent_id, c.event.source,
                 c.event.id, c.event.time, now)
                for c in voiding
            ],
        )  # fmt: skip


def voided_key(claim: Claim) -> str:
    """The key of the record that a void names."""
    voids = claim.event.voids
    assert voids is not None
    return key_hex(claim.sender.tenant.bytes, voids.source, voids.id)


def reverse(counted: Sequence[Claim], voiding: Sequence[Claim], now: datetime) -> dict[Bucket, list[int]]:
    """Take back what is both counted and voided from now on; gives its sums by bucket.

    A void under a bearer key takes back nothing that an agent signed.
    """
    keys = {voided_key(one) for one in voiding}
    with connection.cursor() as cursor:
        if counted and (keys or _any_void(counted)):
            keys |= {one.key for one in counted}
        if not keys:
            return {}
        cursor.execute(_REVERSE, {"now": now, "keys": array(sorted(keys))})
        sums: dict[Bucket, list[int]] = {}
        for allocation_id, digest, meter, *amounts in cursor.fetchall():
            total = sums.setdefault((allocation_id, digest, meter), [0] * 5)
            for position, amount in enumerate((1, *amounts)):
                total[position] += amount
    return sums


_REVERSE = """
INSERT INTO metering_reversal (key, void_key, allocation_id, card_digest, meter, prompt_tokens, cached_tokens,
    completion_tokens, micro_st, reversed_at)
SELECT DISTINCT ON (r.key) r.key, v.key, r.allocation_id, r.card_digest, r.meter, r.prompt_tokens, r.cached_tokens,
    r.billable_tokens, r.micro_st, %(now)s
FROM unnest(%(keys)s::uuid[]) AS t (key)
JOIN metering_void v ON v.voided_key = t.key
JOIN metering_usage_key k ON k.key = t.key
JOIN metering_usage_record r ON r.arrived_on = k.arrived_on AND r.key = k.key
WHERE v.evidence = 'signed' OR r.evidence = 'unsigned'
ORDER BY r.key, v.received_at, v.key
ON CONFLICT (key) DO NOTHING
RETURNING allocation_id, card_digest, meter, prompt_tokens, cached_tokens, completion_tokens, micro_st
"""


def _any_void(claims: Sequence[Claim]) -> bool:
    with connection.cursor() as cursor:
        tenants = list({one.sender.tenant for one in claims})
        cursor.execute("SELECT EXISTS (SELECT 1 FROM metering_void WHERE tenant = ANY(%s))", [tenants])
        return bool(cursor.fetchone()[0])


def _number(claim: Claim) -> int:
    """Four bytes of the organisation's id, as a lock's signed number; two that share it only wait for each other."""
    return int.from_bytes(claim.sender.tenant.bytes[-4:], signed=True)
