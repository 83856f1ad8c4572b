"""Whole columns of uuids in PostgreSQL's binary form: the server takes them as they are, where text has to be parsed.

Source: PostgreSQL's `array_recv` (src/backend/utils/adt/arrayfuncs.c).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from uuid import UUID

_UUID = 2950  # pg_type.oid
_LENGTH = struct.pack(">i", 16)
_NULL = struct.pack(">i", -1)
# Dimensions, "has nulls", the elements' type, then of the one dimension: size and first index.
_HEAD = struct.Struct(">iiIii")


class Column(bytes):
    """An array in binary form, to be bound as it is."""

    __slots__ = ()


def uuids(values: Sequence[UUID | None]) -> Column:
    """A uuid[]."""
    body = b"".join([_NULL if value is None else _LENGTH + value.int.to_bytes(16) for value in values])
    return Column(_HEAD.pack(1, 1, _UUID, len(values), 1) + body)
