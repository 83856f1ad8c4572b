"""The one statement that writes holds and their events."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from ledger.kernel import binary
from ledger.kernel.columns import instants, integers, texts
from ledger.kernel.errors import KeyConflict
from ledger.services.binding import execute

# A child's placing has no key of its own; it travels as ''. Steps come first, so that a split stands before the
# placing of its child.
_INSERT = """
WITH placed AS MATERIALIZED (
    SELECT p.* FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[])
        AS p (id, account_id, currency, parent_id, amount_micros, expires_at, key)
), made AS (
    INSERT INTO ledger_hold (id, account_id, currency, parent_id, rest_micros, expires_at, created_at)
    SELECT id, account_id, currency, parent_id, amount_micros, expires_at, %s FROM placed
)
INSERT INTO ledger_holdevent (hold_id, kind, amount_micros, transfer_id, child_id, key, created_at)
SELECT e.*, %s FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::uuid[], %s::uuid[], %s::text[]) e
UNION ALL
SELECT id, 'place', amount_micros, NULL, NULL, nullif(key, ''), %s FROM placed
"""


class Rows:
    """Columns of new holds and of the steps of others, in the order they happened."""

    def __init__(self) -> None:
        self._placed: list[UUID] = []
        self._accounts: list[UUID] = []
        self._currencies: list[str] = []
        self._parents: list[UUID | None] = []
        self._rests: list[int] = []
        self._expiries: list[datetime | None] = []
        self._placing_keys: list[str] = []
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
        self._placed.append(hold_id)
        self._accounts.append(account_id)
        self._currencies.append(currency)
        self._parents.append(parent_id)
        self._rests.append(amount_micros)
        self._expiries.append(expires_at)
        self._placing_keys.append(key)

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
        """One event of a hold that was placed before."""
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
        if not self._holds and not self._placed:
            return
        values: list[Any] = [
            binary.uuids(self._placed),
            binary.uuids(self._accounts),
            texts(self._currencies),
            binary.uuids(self._parents),
            integers(self._rests),
            instants(self._expiries),
            texts(self._placing_keys),
            now,
            now,
            binary.uuids(self._holds),
            texts(self._kinds),
            integers(self._amounts),
            binary.uuids(self._transfers),
            binary.uuids(self._children),
            texts(self._keys),
            now,
        ]
        try:
            execute(_INSERT, values)
        except IntegrityError as error:
            constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
            # The same key under the same account waits for its lock, and is then seen as a replay.
            if constraint in {"ledger_holdevent_key", "ledger_holdevent_placed_once", "ledger_hold_pkey"}:
                raise KeyConflict("This key, or this child's id, was used before.") from error
            raise
