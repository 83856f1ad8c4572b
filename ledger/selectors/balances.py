"""Balances."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from ledger.kernel.errors import UnknownAccount
from ledger.selectors.lookups import account_id as find


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's money in micro-yuan, counted on its normal side. `floor_micros` is minus its credit limit."""

    account_id: UUID | None
    posted_micros: int
    held_micros: int
    floor_micros: int

    @property
    def available_micros(self) -> int:
        """What can be held or taken, credit included."""
        return self.posted_micros - self.held_micros - self.floor_micros


def balance(account_id: UUID) -> Balance:
    """The stored total of an account, or the sum of its entries where none is stored.

    :raises UnknownAccount: there is no such account.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, CASE WHEN stored THEN posted_micros ELSE coalesce((SELECT sum(CASE e.direction "
            "WHEN a.normal_side THEN e.amount_micros ELSE -e.amount_micros END) FROM ledger_entry e "
            "WHERE e.account_id = a.id), 0)::bigint END, held_micros, floor_micros FROM ledger_account a WHERE id = %s",
            [account_id],
        )
        row = cursor.fetchone()
    if row is None:
        raise UnknownAccount("There is no such account.", account_id=str(account_id))
    return Balance(*row)


def wallet(organisation_id: UUID, currency: str = "CNY") -> Balance:
    """An organisation's wallet; empty, and without an id, before it was opened."""
    found = find(organisation_id, "wallet", currency)
    return balance(found) if found else Balance(None, 0, 0, 0)
