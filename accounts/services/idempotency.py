"""Idempotency-Key: one effect, and the same answer for every repeat."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts.services.organisations import AccountsError


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
        # The lock ends with the transaction; who cannot have it meets the first request at work.
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_lock(organisation_id, key)])
        row = cursor.fetchone()
        if not (row and row[0]):
            raise InFlight("The first request with this Idempotency-Key is still being worked on.")
        cursor.execute(
            "INSERT INTO accounts_idempotencyrow (organisation_id, key, operation, payload_hash, created_at) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id",
            [organisation_id, key, operation, digest, now],
        )
        mine = cursor.fetchone()
        if mine is None:
            return _earlier(cursor, organisation_id, key, digest)
        body = effect()
        cursor.execute("UPDATE accounts_idempotencyrow SET answer = %s WHERE id = %s", [json.dumps(body), mine[0]])
    return Once(body, replayed=False)


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


def _lock(organisation_id: UUID, key: str) -> int:
    digest = hashlib.sha256(b"idempotency" + organisation_id.bytes + key.encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
