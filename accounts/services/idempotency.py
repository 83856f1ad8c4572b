"""Idempotency-Key: one effect, and the same answer for every repeat."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection, transaction
from psycopg.errors import DeadlockDetected, LockNotAvailable

from accounts.services.organisations import AccountsError

_WAIT = "3s"  # for the first request with the same key


class PayloadDiffers(AccountsError):
    """The key was used before with another request."""

    code = "idempotency_payload_differs"
    status = 422


class InFlight(AccountsError):
    """The first request with this key is still being worked on."""

    code = "idempotency_in_flight"
    status = 409
    retryable = True


@dataclass(frozen=True, slots=True)
class Once:
    """The answer, and whether it is that of an earlier request."""

    body: dict[str, Any]
    replayed: bool


def once_durable(
    *,
    organisation_id: UUID,
    key: str,
    operation: str,
    payload: dict[str, Any],
    now: datetime,
    effect: Callable[[], dict[str, Any]],
) -> Once:
    """`once` in a transaction of its own, which holds the effect and its answer together."""
    with transaction.atomic():
        return once(
            organisation_id=organisation_id, key=key, operation=operation, payload=payload, now=now, effect=effect
        )


def once(
    *,
    organisation_id: UUID,
    key: str,
    operation: str,
    payload: dict[str, Any],
    now: datetime,
    effect: Callable[[], dict[str, Any]],
) -> Once:
    """Run the effect for the first request with this key; give its answer to every later one.

    Must stand inside the transaction of the effect. An effect that raises
    leaves no row, so the same key may try again.

    :raises PayloadDiffers, InFlight: see there.
    """
    assert connection.in_atomic_block
    digest = _digest(operation, payload)
    with connection.cursor() as cursor:
        mine = _claim(cursor, [organisation_id, key, operation, digest, now])
        if mine is None:
            return _earlier(cursor, organisation_id, key, digest)
        body = effect()
        cursor.execute("UPDATE accounts_idempotencyrow SET answer = %s WHERE id = %s", [json.dumps(body), mine])
    return Once(body, replayed=False)


def _claim(cursor: Any, row: list[Any]) -> int | None:
    """Insert the row and give its id; None where an earlier request has it.

    The insert waits for an open transaction with the same key, so that a
    simultaneous repeat gets the first one's answer; after `_WAIT` it gives up.
    """
    try:
        with transaction.atomic():  # a savepoint, whose rollback restores lock_timeout too
            cursor.execute("SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)", [_WAIT])
            before = cursor.fetchone()[0]
            cursor.execute(
                "INSERT INTO accounts_idempotencyrow (organisation_id, key, operation, payload_hash, created_at) "
                "VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id",
                row,
            )
            found = cursor.fetchone()
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable | DeadlockDetected):
            raise InFlight("The first request with this Idempotency-Key is still being worked on.") from None
        raise
    return int(found[0]) if found else None


def _earlier(cursor: Any, organisation_id: UUID, key: str, digest: bytes) -> Once:
    cursor.execute(
        "SELECT payload_hash, answer FROM accounts_idempotencyrow WHERE organisation_id = %s AND key = %s",
        [organisation_id, key],
    )
    payload_hash, answer = cursor.fetchone()
    if bytes(payload_hash) != digest:
        raise PayloadDiffers("This Idempotency-Key was used before with another request.")
    return Once(answer if isinstance(answer, dict) else json.loads(answer), replayed=True)


def _digest(operation: str, payload: dict[str, Any]) -> bytes:
    text = json.dumps([operation, payload], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).digest()
