"""Partitions of the usage records, one for each day of arrival, made ahead of need."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction

_AHEAD = 8


def make_partitions(*, now: datetime) -> int:
    """Make the missing partitions for today and the next week (UTC days); gives how many were made."""
    today = now.astimezone(UTC).date()
    days = [today + timedelta(days=offset) for offset in range(_AHEAD)]
    return sum(ensure_partition(day) for day in days)


def ensure_partition(day: date) -> bool:
    """Make the partition of one day of arrival; False where it stands already."""
    name = f"metering_usage_record_{day:%Y%m%d}"
    if _stands(name):
        return False
    with transaction.atomic(), connection.cursor() as cursor:
        # Two makers at once would both see it missing: the second waits here, then sees it.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('metering partitions'))")
        if _stands(name):
            return False
        cursor.execute(
            f"CREATE TABLE {name} PARTITION OF metering_usage_record "
            f"FOR VALUES FROM ('{day.isoformat()}') TO ('{(day + timedelta(days=1)).isoformat()}')"
        )
        # The parent's own guard does not see a TRUNCATE that names the partition.
        cursor.execute(
            f"CREATE TRIGGER kept BEFORE TRUNCATE ON {name} FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change()"
        )
    return True


def _stands(name: str) -> bool:
    with connection.cursor() as cursor:
        # Read as a table, by the statement's own snapshot: a name look-up may answer from this session's memory.
        cursor.execute("SELECT 1 FROM pg_class WHERE relname = %s", [name])
        return cursor.fetchone() is not None
