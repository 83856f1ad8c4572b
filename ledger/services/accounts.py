"""Accounts come into being before they are used."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

from accounts.kernel import ids
from ledger import selectors
from ledger.kernel.errors import BadAmount, UnknownAccount
from ledger.kernel.kinds import MOST_MICROS, NORMAL_SIDES, STORED
from ledger.services.transactions import transactional

_MAKE = (
    "INSERT INTO ledger_account "
    "(id, organisation_id, kind, currency, normal_side, stored, posted_micros, held_micros, floor_micros) "
    "VALUES (%s, %s, %s, %s, %s, %s, 0, 0, %s) ON CONFLICT (organisation_id, kind, currency) DO NOTHING"
)


@transactional
def open_account(
    *, organisation_id: UUID | None, kind: str, currency: str = "CNY", credit_limit_micros: int = 0
) -> UUID:
    """The account of this organisation (None: the platform's), kind and currency; made if it is not there yet.

    `credit_limit_micros` is how far a new account may go below 0. An account
    that is there keeps its own.

    :raises UnknownAccount: no such kind.
    :raises BadAmount: the limit is negative, or the account's kind has no floor.
    """
    if kind not in NORMAL_SIDES:
        raise UnknownAccount(f"There is no kind of account called {kind}.")
    stored = kind in STORED
    if not 0 <= credit_limit_micros < MOST_MICROS or (credit_limit_micros and not stored):
        raise BadAmount("A credit limit is at least 0, and only accounts with a stored total have one.")
    found = selectors.account_id(organisation_id, kind, currency)
    if found is None:
        with connection.cursor() as cursor:
            values = [ids.new(), organisation_id, kind, currency, NORMAL_SIDES[kind], stored, -credit_limit_micros]
            cursor.execute(_MAKE, values)
        # Read again: another transaction may have been faster, and then its row counts.
        found = selectors.account_id(organisation_id, kind, currency)
    assert found is not None
    return found
