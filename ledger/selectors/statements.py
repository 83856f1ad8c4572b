"""Movements of an account, and statements that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from ledger.kernel.errors import UnknownAccount

_GROWTH = "CASE e.direction WHEN a.normal_side THEN e.amount_micros ELSE -e.amount_micros END"


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry of an account. `against` are the kinds of the accounts on the other side of its transfer."""

    entry_id: int
    transfer_id: UUID
    key: str
    kind: str
    reason: str
    at: datetime
    direction: str
    amount_micros: int
    change_micros: int  # the amount, below 0 where the balance shrinks
    against: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """Opening + movements = closing, over the half-open time [start, end), in micro-yuan."""

    account_id: UUID
    currency: str
    start: datetime
    end: datetime
    opening_micros: int
    movements: tuple[Movement, ...]
    closing_micros: int


_COLUMNS = [name for name in Movement.__dataclass_fields__ if name != "against"]


def movements(
    account_id: UUID,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    before_entry: int | None = None,
    limit: int | None = 100,
) -> list[Movement]:
    """An account's movements in [start, end), newest first; the next page starts before the last `entry_id`."""
    return _movements(account_id, start, end, before_entry, limit)


def statement(account_id: UUID, start: datetime, end: datetime) -> Statement:
    """What an account had, what moved, oldest first, and what it had then.

    :raises UnknownAccount: there is no such account.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT a.currency, coalesce((SELECT sum({_GROWTH}) FROM ledger_entry e "
            "JOIN ledger_transfer t ON t.id = e.transfer_id "
            "WHERE e.account_id = a.id AND t.created_at < %s), 0)::bigint FROM ledger_account a WHERE a.id = %s",
            [start, account_id],
        )
        row = cursor.fetchone()
    if row is None:
        raise UnknownAccount("There is no such account.", account_id=str(account_id))
    currency, opening = row
    moved = tuple(reversed(_movements(account_id, start, end, None, None)))
    closing = opening + sum(movement.change_micros for movement in moved)
    return Statement(account_id, currency, start, end, opening, moved, closing)


def _movements(
    account_id: UUID, start: datetime | None, end: datetime | None, before: int | None, limit: int | None
) -> list[Movement]:
    bounds: Sequence[tuple[str, Any]] = [
        (sql, value)
        for sql, value in (("t.created_at >= %s", start), ("t.created_at < %s", end), ("e.id < %s", before))
        if value is not None
    ]
    where = "".join(f" AND {sql}" for sql, _ in bounds)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id, t.id, t.key, t.kind, t.reason, t.created_at, e.direction, e.amount_micros, "
            f"{_GROWTH}, ARRAY(SELECT DISTINCT b.kind FROM ledger_entry o JOIN ledger_account b ON b.id = o.account_id "
            "WHERE o.transfer_id = e.transfer_id AND o.direction <> e.direction ORDER BY b.kind) "
            "FROM ledger_account a JOIN ledger_entry e ON e.account_id = a.id "
            "JOIN ledger_transfer t ON t.id = e.transfer_id "
            f"WHERE a.id = %s{where} ORDER BY e.id DESC LIMIT %s",
            [account_id, *(value for _, value in bounds), limit],
        )
        return [_movement(row) for row in cursor.fetchall()]


def _movement(row: tuple[Any, ...]) -> Movement:
    *values, against = row
    return Movement(**dict(zip(_COLUMNS, values, strict=True)), against=tuple(against))
