"""From a signed-in person or a key's secret to the actor."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime
from uuid import UUID

from accounts.kernel.actor import Actor
from accounts.kernel.roles import ROLES
from accounts.models import ApiKey, Member, Organisation, User

_SECRET = re.compile(r"tsk_([a-z0-9]{8})_([A-Za-z0-9_-]{43})", re.ASCII)
_NO_HASH = bytes(32)


def for_user(user: User, *, organisation_id: UUID | None = None) -> Actor | None:
    """The actor of a signed-in person: in the organisation asked for, else in the first joined; None without one."""
    members = Member.objects.select_related("organisation").filter(
        user=user, organisation__state=Organisation.State.ACTIVE
    )
    if organisation_id is not None:
        members = members.filter(organisation_id=organisation_id)
    member = members.order_by("id").first()
    if member is None or not user.is_active:
        return None
    organisation = member.organisation
    return Actor(
        organisation_id=organisation.id,
        organisation_kind=organisation.kind,
        organisation_name=organisation.name,
        user_id=user.id,
        key_id=None,
        role=member.role,
        scopes=ROLES[member.role],
        is_staff=user.is_staff,
    )


def for_key(secret: str, *, now: datetime) -> Actor | None:
    """The actor of an API key; None where the key is unknown, revoked, expired or its organisation is suspended."""
    match = _SECRET.fullmatch(secret)
    key = ApiKey.objects.select_related("organisation").filter(prefix=match[1]).first() if match else None
    # The comparison is made for unknown keys too, so that the time taken tells nothing.
    expected = bytes(key.secret_hash) if key else _NO_HASH
    equal = hmac.compare_digest(expected, hashlib.sha256(secret.encode()).digest())
    if key is None or not equal or key.revoked_at or (key.expires_at and key.expires_at <= now):
        return None
    organisation = key.organisation
    if organisation.state != Organisation.State.ACTIVE:
        return None
    return Actor(
        organisation_id=organisation.id,
        organisation_kind=organisation.kind,
        organisation_name=organisation.name,
        user_id=None,
        key_id=key.id,
        role=None,
        scopes=frozenset(key.scopes),
    )


def of_organisation(organisation_id: UUID) -> Actor:
    """The organisation itself, for work that the platform does in its name (replay, demo, the gateway's own meter)."""
    organisation = Organisation.objects.get(id=organisation_id)
    return Actor(
        organisation_id=organisation.id,
        organisation_kind=organisation.kind,
        organisation_name=organisation.name,
        user_id=None,
        key_id=None,
        role="owner",
        scopes=ROLES["owner"],
        is_staff=organisation.kind == Organisation.Kind.OPERATOR,
    )
