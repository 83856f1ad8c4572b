"""API keys: the secret is shown once, and only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.roles import SCOPES
from accounts.models import ApiKey
from accounts.services import audit, idempotency
from accounts.services.organisations import AccountsError

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class BadScopes(AccountsError):
    """An unknown scope, none at all, or one that the maker does not hold."""

    code = "bad_scopes"


class BadExpiry(AccountsError):
    """A key that would have ended before it began."""

    code = "bad_expiry"


class KeyForbidden(AccountsError):
    """The actor may not manage keys."""

    code = "scope_missing"
    status = 403


class NoSuchKey(AccountsError):
    """There is no such key, or it is another organisation's."""

    code = "not_found"
    status = 404


class KeyMadeBefore(AccountsError):
    """A repeated request would have to show a secret that is not stored."""

    code = "already_created"
    status = 409


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `secret` is never stored and cannot be shown again."""

    key_id: UUID
    secret: str


def create(
    *, actor: Actor, name: str, scopes: Collection[str], now: datetime, expires_at: datetime | None = None
) -> NewKey:
    """Make a key that can do at most what its maker can.

    :raises KeyForbidden, BadExpiry, BadScopes: see there.
    """
    if not actor.can("keys:write"):
        raise KeyForbidden("Your role may not make API keys.")
    if expires_at is not None and expires_at <= now:
        raise BadExpiry("A key must expire in the time to come.")
    wanted = sorted(set(scopes))
    wrong = [scope for scope in wanted if scope not in SCOPES or not actor.can(scope)]
    if wrong or not wanted:
        raise BadScopes(f"These scopes cannot be given: {', '.join(wrong)}." if wrong else "A key needs a scope.")
    prefix = "".join(secrets.choice(_LETTERS) for _ in range(8))
    secret = f"tsk_{prefix}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        key = ApiKey.objects.create(
            organisation_id=actor.organisation_id,
            name=name,
            prefix=prefix,
            secret_hash=hashlib.sha256(secret.encode()).digest(),
            scopes=wanted,
            created_by_id=actor.user_id,
            created_at=now,
            expires_at=expires_at,
        )
        audit.record(
            actor=actor, action="key.created", subject=ids.encode("key", key.id), detail={"scopes": wanted}, now=now
        )
    return NewKey(key.id, secret)


def create_once(
    *,
    actor: Actor,
    idempotency_key: str,
    request: dict[str, Any],
    name: str,
    scopes: Collection[str],
    now: datetime,
    expires_at: datetime | None = None,
) -> NewKey:
    """`create`, once for each idempotency key; `request` is what the caller sent, the same in every repeat.

    :raises KeyMadeBefore: a repeat; its `id` names the key, whose secret is gone.
    """
    made: list[NewKey] = []

    def effect() -> dict[str, str]:
        made.append(create(actor=actor, name=name, scopes=scopes, now=now, expires_at=expires_at))
        return {"id": ids.encode("key", made[0].key_id)}  # never the secret: the answer is stored

    once = idempotency.once_durable(
        organisation_id=actor.organisation_id,
        key=idempotency_key,
        operation="keys.create",
        payload=request,
        now=now,
        effect=effect,
    )
    if once.replayed:
        raise KeyMadeBefore("This key was made before; its secret cannot be shown again.", id=once.body["id"])
    return made[0]


def revoke(*, actor: Actor, key_id: UUID, now: datetime) -> None:
    """End a key at once; ending it again changes nothing.

    :raises KeyForbidden, NoSuchKey: see there.
    """
    if not actor.can("keys:write"):
        raise KeyForbidden("Your role may not revoke API keys.")
    with transaction.atomic():
        own = ApiKey.objects.filter(id=key_id, organisation_id=actor.organisation_id)
        if not own.exists():
            raise NoSuchKey("There is no such key.")
        if own.filter(revoked_at__isnull=True).update(revoked_at=now):
            audit.record(actor=actor, action="key.revoked", subject=ids.encode("key", key_id), detail={}, now=now)


def note_use(key_id: UUID, *, now: datetime) -> None:
    """Remember that a key was used, at most once a minute: a hot key must not be a hot row."""
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - timedelta(minutes=1))
    ApiKey.objects.filter(stale, id=key_id).update(last_used_at=now)
