"""Statements whose values travel beside the text.

Django's cursor writes values into the text of a statement. With megabytes of
columns, quoting and parsing that text takes as long as the rows themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg.adapt import Dumper
from psycopg.pq import Format

from ledger.kernel.binary import Column


class _ColumnDumper(Dumper):
    """A column is in the server's own form already. The statement casts it, so no type is named here."""

    format = Format.BINARY

    def dump(self, obj: Column) -> Column:
        return obj


def execute(sql: str, values: Sequence[Any]) -> None:
    """Run one statement inside the caller's transaction. It casts each value whose type its text does not tell."""
    assert connection.in_atomic_block
    with CursorWrapper(psycopg.Cursor(connection.connection), connection) as cursor:
        cursor.adapters.register_dumper(Column, _ColumnDumper)
        cursor.execute(sql, values)
