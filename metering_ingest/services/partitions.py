"""Partitions of the usage records, one for each day of arrival, made ahead of need."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from django.db import connection, transaction

_AHEAD = 8


def make_partitions(*, now: datetime) -> int:
    """Make the missing partitions for today and the next week (UTC days); gives how many were made."""
    today = now.astimezone(UTC).date()
    days = [today + timedelta(days=offset) for offset in range(_AHEAD)]
    return sum(ensure_partition(day) for day in days)


@lru_cache(maxsize=16)
def partition_stands(day: date) -> bool:
    """Make sure, once a process and day, that records can arrive; it is made ahead already unless the beat was down."""
    ensure_partition(day)
    return True


def ensure_partition(day: date) -> bool:
    """Make the partition of one day of arrival; False where it stands already."""
    name = f"metering_usage_record_{day:%Y%m%d}"
    with transaction.atomic(), connection.cursor() as cursor:
        # Two makers at once would both see it missing: the second waits here, then sees it.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('metering partitions'))")
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone()[0] is not None:
            return False
        cursor.execute(
            f"CREATE TABLE {name} PARTITION OF metering_usage_record "
            f"FOR VALUES FROM ('{day.isoformat()}') TO ('{(day + timedelta(days=1)).isoformat()}')"
        )
    return True
