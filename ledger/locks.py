"""The only home of the ledger's locks.

Order: accounts by id, and nothing after them. A hold is read and changed only
under the lock of its account, so holds need none of their own. Accounts without
a stored total are never locked: nothing in them changes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from ledger.kernel.columns import uuids

# Longer than any round or rating batch keeps a wallet, short enough for a person who waits.
PATIENCE = "2s"


@dataclass(frozen=True, slots=True)
class Locked:
    """The totals of an account that nobody else can move until the end of this transaction, in micro-yuan."""

    posted_micros: int
    held_micros: int
    floor_micros: int

    @property
    def available_micros(self) -> int:
        """What can be held or taken."""
        return self.posted_micros - self.held_micros - self.floor_micros


def accounts(account_ids: Collection[UUID], *, of_holds: Collection[UUID] = ()) -> dict[UUID, Locked]:
    """Lock those of the accounts, and of the holds' accounts, that have a stored total, in the order of their ids.

    Who waits longer than the connection's `lock_timeout`, or two seconds where
    it has none, gets an OperationalError with SQLSTATE 55P03.
    """
    assert connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true) WHERE current_setting('lock_timeout') = '0'", [PATIENCE]
        )
        cursor.execute(
            "SELECT id, posted_micros, held_micros, floor_micros FROM ledger_account "
            "WHERE stored AND id IN (SELECT unnest(%s::uuid[]) "
            "UNION SELECT account_id FROM ledger_hold WHERE id = ANY(%s::uuid[])) ORDER BY id FOR NO KEY UPDATE",
            [uuids(account_ids), uuids(of_holds)],
        )
        return {row[0]: Locked(*row[1:]) for row in cursor.fetchall()}
