"""A few accounts, and short words for what tests do with them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.kernel import ids
from accounts.services import organisations
from ledger import selectors, services
from ledger.services import HoldChange, HoldDraft, Leg, TransferDraft

NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
_names = itertools.count()


class Books:
    """One buyer with an empty wallet, and the platform's cash."""

    def __init__(self) -> None:
        self.buyer = new_organisation()
        self.cash = services.open_account(organisation_id=None, kind="cash_clearing")
        self.wallet = services.open_account(organisation_id=self.buyer, kind="wallet")
        self.unbilled = services.open_account(organisation_id=self.buyer, kind="unbilled")

    def top_up(self, amount: int, *, key: str | None = None, at: datetime = NOW) -> UUID:
        """Money into the wallet."""
        return post(draft(self.cash, self.wallet, amount, key=key, kind="top_up"), at=at)

    def use(self, amount: int, *, key: str | None = None, at: datetime = NOW) -> UUID:
        """Money out of the wallet."""
        return post(draft(self.wallet, self.unbilled, amount, key=key, kind="usage"), at=at)

    def hold(self, amount: int, *, key: str | None = None, expires_at: datetime | None = None) -> UUID:
        """Money set aside in the wallet."""
        return services.place_holds([HoldDraft(key or new_key(), self.wallet, amount, expires_at)], now=NOW)[0]

    def totals(self) -> tuple[int, int]:
        """Posted and held of the wallet."""
        found = selectors.balance(self.wallet)
        return found.posted_micros, found.held_micros


def new_key() -> str:
    return str(ids.new())


def new_organisation() -> UUID:
    return organisations.create(name=f"Organisation {next(_names)}", kind="buyer", now=NOW)


def draft(
    debit: UUID, credit: UUID, amount: int, *, key: str | None = None, kind: str = "test", currency: str = "CNY"
) -> TransferDraft:
    legs = (Leg(debit, "debit", amount), Leg(credit, "credit", amount))
    return TransferDraft(key=key or new_key(), kind=kind, legs=legs, currency=currency)


def post(transfer: TransferDraft, *, at: datetime = NOW) -> UUID:
    return services.post([transfer], now=at)[0]


def change(hold: UUID, action: Any, amount: int | None = None, *, key: str | None = None, **more: Any) -> UUID | None:
    step = HoldChange(key or new_key(), hold, action, amount, **more)
    return services.change_holds([step], now=NOW)[0]


def rest(hold: UUID) -> int:
    return selectors.hold_rests([hold])[hold]


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement as the tables' owner, past all services."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []
