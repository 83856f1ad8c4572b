"""Partitions of the usage records, one for each day of arrival, made ahead of need."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction

_AHEAD = 8

_made: set[date] = set()


def ensure_today(now: datetime) -> None:
    """Make today's partition where it is missing; a process looks once a day."""
    day = now.astimezone(UTC).date()
    if day not in _made:
        ensure_partition(day)
        if not connection.in_atomic_block:
            _made.add(day)


def make_partitions(*, now: datetime) -> int:
    """Make the missing partitions for today and the next week (UTC days); gives how many were made."""
    today = now.astimezone(UTC).date()
    days = [today + timedelta(days=offset) for offset in range(_AHEAD)]
    return sum(ensure_partition(day) for day in days)


def ensure_partition(day: date) -> bool:
    """Make the partition of one day of arrival; False where it stands already."""
    with connection.cursor() as cursor:
        # Read as a table, by the statement's own snapshot: a name look-up may answer from this session's memory.
        cursor.execute("SELECT 1 FROM pg_class WHERE relname = %s", [f"metering_usage_record_{day:%Y%m%d}"])
        if cursor.fetchone() is not None:
            return False
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT metering_make_partition(%s)", [day])
        return bool(cursor.fetchone()[0])
