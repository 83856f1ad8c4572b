"""Rows as PostgreSQL's binary COPY format, whole columns at a time, without a Python object per row.

Source: PostgreSQL manual, COPY, "Binary Format". No column may be null: then every row has the same length.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

_HEAD = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
_TAIL = b"\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_TYPES = {"uuid": "V16", "int8": ">i8", "int2": ">i2", "bool": "i1", "timestamptz": ">i8"}

Columns = dict[str, NDArray[Any]]


def decode(raw: bytes, columns: Mapping[str, str]) -> Columns:
    """Columns by name out of the bytes of a binary COPY TO; `columns` gives the type of each, in order."""
    assert raw.startswith(_HEAD), "COPY (FORMAT binary)"
    body = memoryview(raw)[len(_HEAD) : -len(_TAIL)]
    rows = np.frombuffer(body, dtype=_row(columns))
    assert not len(rows) or (rows["fields"] == len(columns)).all(), "one length for all rows: no nulls"
    return {name: _native(rows[name], kind) for name, kind in columns.items()}


def encode(values: Mapping[str, NDArray[Any]], columns: Mapping[str, str]) -> bytes:
    """The bytes of a binary COPY FROM with these columns; all arrays have the same length."""
    size = len(next(iter(values.values())))
    rows = np.zeros(size, dtype=_row(columns))
    rows["fields"] = len(columns)
    for name, kind in columns.items():
        rows[f"{name} length"] = np.dtype(_TYPES[kind]).itemsize
        rows[name] = values[name]
    return _HEAD + rows.tobytes() + _TAIL


def uuids(ids: list[UUID]) -> NDArray[np.void]:
    """A column of uuids."""
    return np.frombuffer(b"".join(one.bytes for one in ids), dtype="V16")


def repeated(one: UUID, size: int) -> NDArray[np.void]:
    """The same uuid in every row."""
    return np.frombuffer(one.bytes * size, dtype="V16")


def to_uuids(column: NDArray[np.void]) -> list[UUID]:
    """The uuids of a column."""
    raw = column.tobytes()
    return [UUID(bytes=raw[at : at + 16]) for at in range(0, len(raw), 16)]


def timestamp(at: datetime) -> int:
    """An instant as the database's own number: microseconds since 2000-01-01 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def codes(column: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.void]]:
    """Number equal uuids alike: (number per row, the uuids by number)."""
    pairs = np.ascontiguousarray(column).view(">u8").reshape(-1, 2)
    _, low = np.unique(pairs[:, 1], return_inverse=True)
    _, high = np.unique(pairs[:, 0], return_inverse=True)
    both = low.astype(np.int64) * (len(column) + 1) + high
    _, first, number = np.unique(both, return_index=True, return_inverse=True)
    return number.astype(np.int64), column[first]


def _row(columns: Mapping[str, str]) -> np.dtype[np.void]:
    parts: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns.items():
        parts += [(f"{name} length", ">i4"), (name, _TYPES[kind])]
    return np.dtype(parts)


def _native(column: NDArray[Any], kind: str) -> NDArray[Any]:
    if kind == "uuid":
        return np.ascontiguousarray(column)
    return column.astype(np.bool_ if kind == "bool" else np.int64)
