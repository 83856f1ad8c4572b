"""The one statement that writes holds and their events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, connection

from ledger.kernel.columns import instants, integers, texts, uuids
from ledger.kernel.errors import KeyConflict

# A child's placing has no key of its own; it travels as ''.
_INSERT = """
WITH made AS (
    INSERT INTO ledger_hold (id, account_id, currency, parent_id, rest_micros, expires_at, created_at)
    SELECT h.*, %s FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::bigint[], %s::timestamptz[]) h
)
INSERT INTO ledger_holdevent (hold_id, kind, amount_micros, transfer_id, child_id, key, created_at)
SELECT e.hold_id, e.kind, e.amount_micros, e.transfer_id, e.child_id, nullif(e.key, ''), %s
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::uuid[], %s::uuid[], %s::text[])
    AS e (hold_id, kind, amount_micros, transfer_id, child_id, key)
"""


class NewHold(NamedTuple):
    """A row of `ledger_hold`."""

    id: UUID
    account_id: UUID
    currency: str
    parent_id: UUID | None
    rest_micros: int
    expires_at: datetime | None


class EventRow(NamedTuple):
    """A row of `ledger_holdevent`."""

    hold_id: UUID
    kind: str
    amount_micros: int
    transfer_id: UUID | None
    child_id: UUID | None
    key: str


def write(holds: Sequence[NewHold], events: Sequence[EventRow], *, now: datetime) -> None:
    """Store holds and events; the triggers move rests and held totals.

    :raises KeyConflict: an event's key, or a child's id, was taken meanwhile under another account.
    """
    if not events:
        return
    values: list[Any] = [
        now,
        uuids([hold.id for hold in holds]),
        uuids([hold.account_id for hold in holds]),
        texts([hold.currency for hold in holds]),
        uuids([hold.parent_id for hold in holds]),
        integers([hold.rest_micros for hold in holds]),
        instants([hold.expires_at for hold in holds]),
        now,
        uuids([event.hold_id for event in events]),
        texts([event.kind for event in events]),
        integers([event.amount_micros for event in events]),
        uuids([event.transfer_id for event in events]),
        uuids([event.child_id for event in events]),
        texts([event.key for event in events]),
    ]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, values)
    except IntegrityError as error:
        constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
        # The same key under the same account waits for its lock, and is then seen as a replay.
        if constraint in {"ledger_holdevent_key", "ledger_holdevent_placed_once", "ledger_hold_pkey"}:
            raise KeyConflict("This key, or this child's id, was used before.") from error
        raise
