"""Rows by id or key, many in one query."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from ledger.kernel.columns import texts, uuids
from ledger.kernel.transfers import AccountFacts


class HoldRow(NamedTuple):
    """A hold as it stands; it may change unless its account is locked."""

    account_id: UUID
    currency: str
    rest_micros: int


class Placed(NamedTuple):
    """How a hold was placed."""

    hold_id: UUID
    account_id: UUID
    amount_micros: int
    expires_at: datetime | None


class Stepped(NamedTuple):
    """A stored step of a hold."""

    hold_id: UUID
    action: str
    amount_micros: int
    transfer_id: UUID | None
    child_id: UUID | None


def account_id(organisation_id: UUID | None, kind: str, currency: str) -> UUID | None:
    """The account of an organisation (None: the platform's), where it was opened."""
    owner, values = ("= %s", [organisation_id]) if organisation_id else ("IS NULL", [])
    rows = _rows(
        f"SELECT id FROM ledger_account WHERE organisation_id {owner} AND kind = %s AND currency = %s",
        [*values, kind, currency],
    )
    return rows[0][0] if rows else None


def account_facts(account_ids: Collection[UUID]) -> dict[UUID, AccountFacts]:
    """Those of the accounts that exist, by id."""
    rows = _rows(
        "SELECT id, currency, normal_side, stored FROM ledger_account WHERE id = ANY(%s::uuid[])", [uuids(account_ids)]
    )
    return {row[0]: AccountFacts(*row) for row in rows}


def transfers(keys: Collection[str]) -> dict[str, tuple[UUID, bytes]]:
    """Id and content hash of those of the transfers that exist, by key."""
    rows = _rows("SELECT key, id, content_hash FROM ledger_transfer WHERE key = ANY(%s::text[])", [texts(list(keys))])
    return {key: (transfer_id, bytes(digest)) for key, transfer_id, digest in rows}


def holds(hold_ids: Collection[UUID]) -> dict[UUID, HoldRow]:
    """Those of the holds that exist, by id."""
    asked = list(hold_ids)
    # One array an account, of places in `asked`: to read fifty thousand ids back took longer than to find them.
    # OFFSET keeps this a look-up for each hold, whatever the tables hold.
    found = _rows(
        "SELECT h.account_id, h.currency, array_agg(a.place), array_agg(h.rest_micros) "
        "FROM unnest(%s::uuid[]) WITH ORDINALITY a (id, place) CROSS JOIN LATERAL "
        "(SELECT account_id, currency, rest_micros FROM ledger_hold WHERE id = a.id OFFSET 0) h GROUP BY 1, 2",
        [uuids(asked)],
    )
    return {
        asked[place - 1]: HoldRow(account_id, currency, rest)
        for account_id, currency, places, rests in found
        for place, rest in zip(places, rests, strict=True)
    }


def hold_rests(hold_ids: Collection[UUID]) -> dict[UUID, int]:
    """What is left of each of these holds, in micro-yuan; 0 when resolved, absent when there is no such hold."""
    return {hold_id: row.rest_micros for hold_id, row in holds(hold_ids).items()}


def placed(keys: Collection[str]) -> dict[str, Placed]:
    """The holds placed under these keys."""
    rows = _rows(
        "SELECT e.key, h.id, h.account_id, e.amount_micros, h.expires_at FROM ledger_holdevent e "
        "JOIN ledger_hold h ON h.id = e.hold_id WHERE e.key = ANY(%s::text[]) AND e.kind = 'place'",
        [texts(list(keys))],
    )
    return {row[0]: Placed(*row[1:]) for row in rows}


def stepped(keys: Collection[str]) -> dict[str, Stepped]:
    """The steps stored under these keys, placing included."""
    rows = _rows(
        "SELECT key, hold_id, kind, amount_micros, transfer_id, child_id FROM ledger_holdevent "
        "WHERE key = ANY(%s::text[])",
        [texts(list(keys))],
    )
    return {row[0]: Stepped(*row[1:]) for row in rows}


def uncovered(transfer_ids: Collection[UUID]) -> UUID | None:
    """One of these transfers that takes less from an account than is posted from the account's holds."""
    rows = _rows(
        "WITH posted AS (SELECT v.transfer_id, h.account_id, sum(v.amount_micros) AS micros FROM ledger_holdevent v "
        "JOIN ledger_hold h ON h.id = v.hold_id "
        "WHERE v.kind = 'post' AND v.transfer_id = ANY(%s::uuid[]) GROUP BY 1, 2) "
        "SELECT p.transfer_id FROM posted p WHERE p.micros > (SELECT coalesce(sum(CASE e.direction "
        "WHEN a.normal_side THEN -e.amount_micros ELSE e.amount_micros END), 0) FROM ledger_entry e "
        "JOIN ledger_account a ON a.id = e.account_id "
        "WHERE e.transfer_id = p.transfer_id AND e.account_id = p.account_id) LIMIT 1",
        [uuids(transfer_ids)],
    )
    return rows[0][0] if rows else None


def due_holds(*, now: datetime, limit: int) -> list[UUID]:
    """Holds with a rest whose time is over, the oldest first."""
    rows = _rows(
        "SELECT id FROM ledger_hold WHERE expires_at <= %s AND rest_micros > 0 ORDER BY expires_at, id LIMIT %s",
        [now, limit],
    )
    return [row[0] for row in rows]


def _rows(sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
