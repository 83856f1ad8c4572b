"""Settling: a bucket that has been quiet for a while becomes a numbered, unchanging snapshot for billing."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

_PATIENCE = 5  # quiet times that a bucket in steady use waits at most
_SETTLE = """
WITH counter AS (
    SELECT last FROM metering_settle_counter WHERE id = 1 FOR UPDATE
), quiet AS (
    SELECT id, version, records, prompt_tokens, cached_tokens, completion_tokens, micro_st
    FROM metering_bucket
    WHERE settled_version < version AND (changed_at <= %(quiet_since)s OR waiting_since <= %(waited_since)s)
        AND (SELECT last FROM counter) >= 0
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), marked AS (
    UPDATE metering_bucket b SET settled_version = q.version FROM quiet q WHERE b.id = q.id
), settled AS (
    INSERT INTO metering_settled_bucket (sequence, bucket_id, version, records, prompt_tokens, cached_tokens,
        completion_tokens, micro_st, settled_at)
    SELECT (SELECT last FROM counter) + row_number() OVER (ORDER BY id), id, version, records, prompt_tokens,
        cached_tokens, completion_tokens, micro_st, %(now)s
    FROM quiet RETURNING sequence
)
UPDATE metering_settle_counter SET last = last + (SELECT count(*) FROM settled) WHERE id = 1
RETURNING (SELECT count(*) FROM settled)
"""


def settle(*, now: datetime, limit: int = 10_000, quiet_seconds: int | None = None) -> int:
    """Number and freeze every bucket unchanged for `METERING_QUIET_SECONDS`; gives how many.

    A bucket in steady use is settled all the same once it has waited five times as long; what comes
    later makes a later version of it.

    The counter row is locked first, so sequences become visible in order: a
    reader that remembers the last one misses none.
    """
    wait = settings.METERING_QUIET_SECONDS if quiet_seconds is None else quiet_seconds
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _SETTLE,
            {
                "quiet_since": now - timedelta(seconds=wait),
                "waited_since": now - timedelta(seconds=wait * _PATIENCE),
                "now": now,
                "limit": limit,
            },
        )
        row = cursor.fetchone()
    assert row is not None, "the migration makes the counter row"
    return int(row[0])
