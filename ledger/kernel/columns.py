"""Whole columns as PostgreSQL array literals.

A call may write a hundred thousand rows by one statement. The driver's own list
dumper looks at each element on its own, which took longer than the statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID


def uuids(values: Iterable[UUID | None]) -> str:
    """A literal of uuid[]."""
    return "{" + ",".join(["NULL" if value is None else value.hex for value in values]) + "}"


def integers(values: Iterable[int]) -> str:
    """A literal of smallint[] or bigint[]."""
    return "{" + ",".join(map(str, values)) + "}"


def instants(values: Sequence[datetime | None]) -> str:
    """A literal of timestamptz[]. Few of many differ: holds end with their window."""
    written = {value: "NULL" if value is None else value.isoformat() for value in set(values)}
    return "{" + ",".join([written[value] for value in values]) + "}"


def texts(values: Sequence[str]) -> str:
    """A literal of text[], each element quoted.

    Escaping goes over the whole column at once; NUL parts the elements
    meanwhile, because no text of PostgreSQL may hold it.

    :raises ValueError: a text holds NUL.
    """
    if not values:
        return "{}"
    column = "\0".join(values)
    if column.count("\0") != len(values) - 1:
        raise ValueError("A text holds NUL.")
    return '{"' + column.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","') + '"}'
