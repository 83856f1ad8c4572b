"""The one statement that writes holds and their events."""

from __future__ import annotations

from datetime import datetime
from typing import Any
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


class Rows:
    """Columns of new holds and of events, in the order they happened."""

    def __init__(self) -> None:
        self._hold_ids: list[UUID] = []
        self._accounts: list[UUID] = []
        self._currencies: list[str] = []
        self._parents: list[UUID | None] = []
        self._rests: list[int] = []
        self._expiries: list[datetime | None] = []
        self._holds: list[UUID] = []
        self._kinds: list[str] = []
        self._amounts: list[int] = []
        self._transfers: list[UUID | None] = []
        self._children: list[UUID | None] = []
        self._keys: list[str] = []

    def place(
        self,
        hold_id: UUID,
        account_id: UUID,
        currency: str,
        amount_micros: int,
        expires_at: datetime | None,
        *,
        key: str = "",
        parent_id: UUID | None = None,
    ) -> None:
        """A new hold, and its placing."""
        self._hold_ids.append(hold_id)
        self._accounts.append(account_id)
        self._currencies.append(currency)
        self._parents.append(parent_id)
        self._rests.append(amount_micros)
        self._expiries.append(expires_at)
        self.step(hold_id, "place", amount_micros, key)

    def step(
        self,
        hold_id: UUID,
        kind: str,
        amount_micros: int,
        key: str,
        *,
        transfer_id: UUID | None = None,
        child_id: UUID | None = None,
    ) -> None:
        """One event of a hold."""
        self._holds.append(hold_id)
        self._kinds.append(kind)
        self._amounts.append(amount_micros)
        self._transfers.append(transfer_id)
        self._children.append(child_id)
        self._keys.append(key)

    def write(self, *, now: datetime) -> None:
        """Store holds and events; the triggers move rests and held totals.

        :raises KeyConflict: an event's key, or a child's id, was taken meanwhile under another account.
        """
        if not self._holds:
            return
        values: list[Any] = [
            now,
            uuids(self._hold_ids),
            uuids(self._accounts),
            texts(self._currencies),
            uuids(self._parents),
            integers(self._rests),
            instants(self._expiries),
            now,
            uuids(self._holds),
            texts(self._kinds),
            integers(self._amounts),
            uuids(self._transfers),
            uuids(self._children),
            texts(self._keys),
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
