"""The one clock of the live system: the database's. Services and kernels take `now` as an argument."""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def now() -> datetime:
    """The database's time, aware, UTC."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    assert row is not None
    instant: datetime = row[0]
    return instant
