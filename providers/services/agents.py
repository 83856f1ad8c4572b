"""Agents: who they are, which keys speak for them, and whether a signed request is theirs."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.services import audit, idempotency
from providers import locks
from providers.kernel import signatures
from providers.kernel.errors import (
    AgentParked,
    BadToken,
    BadValue,
    KeyTaken,
    MadeBefore,
    NameTaken,
    NotFound,
    TokenUsed,
    WrongState,
)
from providers.kernel.signatures import BadSignature, SignedRequest
from providers.models import Agent, AgentKey, Nonce, Pool, RegistrationToken
from providers.services import rights

TOKEN_LIFE = timedelta(hours=1)
OVERLAP = timedelta(minutes=10)
_SEEN_EVERY = timedelta(seconds=10)  # so that a busy agent's row is not written with every request
_TOKEN = re.compile(r"tsreg_[A-Za-z0-9_-]{43}")
_VERSION = re.compile(r"[\x20-\x7e]{0,40}")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A registration token just made. `token` is never stored and cannot be shown again."""

    agent_id: UUID
    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Registered:
    """What an agent learns when it hands in its key."""

    agent_id: UUID
    key_id: UUID
    organisation_id: UUID


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """The agent that signed a request, and for whom it acts."""

    agent_id: UUID
    key_id: UUID
    organisation_id: UUID
    organisation_kind: str
    parked: bool
    last_seen_at: datetime | None = None


def make(*, name: str, pool_id: UUID | None, actor: Actor, now: datetime) -> NewToken:
    """Make an agent and its one-time token.

    :raises Forbidden, BadValue, NotFound, NameTaken: see there.
    """
    rights.check(actor)
    name = name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise BadValue("A name has 1 to 80 characters.", field="name")
    if pool_id is not None and not Pool.objects.filter(id=pool_id, organisation_id=actor.organisation_id).exists():
        raise NotFound("There is no such pool.", field="pool")
    try:
        with transaction.atomic():
            agent = Agent.objects.create(
                organisation_id=actor.organisation_id, pool_id=pool_id, name=name, created_at=now
            )
            _record(agent.id, "agent.added", actor, now)
            return _token(agent.id, now)
    except IntegrityError as error:
        if "providers_agent_name_once" in str(error):
            raise NameTaken("You have an agent of this name already.", field="name") from None
        raise


def make_once(
    *, idempotency_key: str, request: dict[str, Any], name: str, pool_id: UUID | None, actor: Actor, now: datetime
) -> NewToken:
    """`make`, once for each idempotency key.

    :raises MadeBefore: a repeat; its `id` names the agent, whose token is gone.
    """
    return _once(
        operation="agents.create", key=idempotency_key, payload=request, actor=actor, now=now,
        effect=lambda: make(name=name, pool_id=pool_id, actor=actor, now=now),
    )  # fmt: skip


def new_token(agent_id: UUID, *, actor: Actor, now: datetime) -> NewToken:
    """Another one-time token, for an agent whose key was lost or that never registered; earlier ones end.

    :raises Forbidden, NotFound, WrongState: see there.
    """
    rights.check(actor)
    with transaction.atomic():
        agent = _own(agent_id, actor)
        if agent.state == Agent.State.REVOKED:
            raise WrongState("A revoked agent cannot come back; make another.")
        RegistrationToken.objects.filter(agent=agent, used_at=None, expires_at__gt=now).update(expires_at=now)
        _record(agent.id, "agent.token_made", actor, now)
        return _token(agent.id, now)


def new_token_once(
    agent_id: UUID, *, idempotency_key: str, request: dict[str, Any], actor: Actor, now: datetime
) -> NewToken:
    """`new_token`, once for each idempotency key.

    :raises MadeBefore: see `make_once`.
    """
    payload = {**request, "agent": agent_id.hex}
    return _once(
        operation="agents.token",
        key=idempotency_key,
        payload=payload,
        actor=actor,
        now=now,
        effect=lambda: new_token(agent_id, actor=actor, now=now),
    )


def register(*, token: str, public_key: str, version: str, now: datetime) -> Registered:
    """Hand in an agent's public key. Keys that it had before end at once: whoever registers again has lost them.

    :raises BadToken, TokenUsed, BadValue, KeyTaken: see there.
    """
    raw = _public_key(public_key)
    if not _VERSION.fullmatch(version):
        raise BadValue("A version has at most 40 printable ASCII characters.", field="version")
    digest = hashlib.sha256(token.encode()).digest()
    found = RegistrationToken.objects.filter(digest=digest).first() if _TOKEN.fullmatch(token) else None
    if found is None:
        raise BadToken("This registration token is unknown or over.")
    with transaction.atomic():
        agent = locks.agent(found.agent_id)
        found.refresh_from_db()
        if found.used_at is not None:
            raise TokenUsed("This registration token was used; make another on the agent's page.")
        if found.expires_at <= now or agent.state == Agent.State.REVOKED:
            raise BadToken("This registration token is unknown or over.")
        RegistrationToken.objects.filter(id=found.id).update(used_at=now)
        _end_keys(agent.id, at=now)
        key = _add_key(agent.id, raw, now)
        Agent.objects.filter(id=agent.id).update(version=version, last_seen_at=now)
        _record_by_agent(agent, "agent.registered", key.id, now)
    return Registered(agent.id, key.id, agent.organisation_id)


def rotate(identity: AgentIdentity, *, public_key: str, now: datetime) -> UUID:
    """Give an agent another key; gives its id. The old one ends ten minutes later.

    :raises BadValue, KeyTaken, WrongState: see there.
    """
    raw = _public_key(public_key)
    with transaction.atomic():
        agent = locks.agent(identity.agent_id)
        old = AgentKey.objects.get(id=identity.key_id)
        if old.ends_at is not None:
            raise WrongState("This key was rotated before; sign with the newer one.")
        key = _add_key(agent.id, raw, now)
        AgentKey.objects.filter(id=old.id).update(ends_at=now + OVERLAP)
        _record_by_agent(agent, "agent.key_rotated", key.id, now)
    return key.id


def revoke(agent_id: UUID, *, actor: Actor, now: datetime) -> None:
    """End an agent for good, its keys and tokens with it; again changes nothing.

    :raises Forbidden, NotFound: see there.
    """
    rights.check(actor)
    with transaction.atomic():
        agent = _own(agent_id, actor)
        if agent.state == Agent.State.REVOKED:
            return
        _end_keys(agent.id, at=now)
        RegistrationToken.objects.filter(agent=agent, used_at=None, expires_at__gt=now).update(expires_at=now)
        Agent.objects.filter(id=agent.id).update(state=Agent.State.REVOKED)
        _record(agent.id, "agent.revoked", actor, now)


def park(agent_id: UUID, *, reason: str, actor: Actor, now: datetime) -> None:
    """Take nothing from an agent until it is released.

    :raises Forbidden, NotFound, BadValue, WrongState: see there.
    """
    rights.check(actor)
    reason = reason.strip()
    if not 1 <= len(reason) <= 200 or not reason.isprintable():
        raise BadValue("Say why, in 1 to 200 characters.", field="reason")
    with transaction.atomic():
        agent = _own(agent_id, actor)
        if agent.state != Agent.State.ACTIVE:
            raise WrongState("Only an active agent can be parked.")
        Agent.objects.filter(id=agent.id).update(state=Agent.State.PARKED, reason=reason)
        _record(agent.id, "agent.parked", actor, now, reason=reason)


def release(agent_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Take from a parked agent again.

    :raises Forbidden, NotFound, WrongState: see there.
    """
    rights.check(actor)
    with transaction.atomic():
        agent = _own(agent_id, actor)
        if agent.state != Agent.State.PARKED:
            raise WrongState("Only a parked agent can be released.")
        Agent.objects.filter(id=agent.id).update(state=Agent.State.ACTIVE, reason="")
        _record(agent.id, "agent.released", actor, now)


def identify(requests: Sequence[SignedRequest], *, now: datetime) -> list[AgentIdentity | BadSignature]:
    """Who signed each of these requests, in order, or what is wrong with it. Nonces are claimed by `claim_nonces`."""
    keys = _keys({ids.decode("agk", request.key_id) for request in requests})
    found: list[AgentIdentity | BadSignature] = []
    for request in requests:
        row = keys.get(ids.decode("agk", request.key_id))
        try:
            if row is None:
                raise BadSignature("unknown_key", "There is no such key.")
            signatures.verify(request, row[1], now=now)
            if (row[2] is not None and row[2] <= now) or row[0].organisation_kind == "":
                raise BadSignature("revoked", "This key has ended.")
        except BadSignature as refusal:
            found.append(refusal)
        else:
            found.append(row[0])
    _note_seen({one.agent_id for one in found if isinstance(one, AgentIdentity) and _is_stale(one, now)}, now)
    return found


def claim_nonces(used: Sequence[tuple[UUID, bytes]], *, now: datetime) -> list[bool]:
    """Claim (key id, nonce hash) pairs; says of each whether it is new. In the transaction of what it lets happen.

    The second of two equal pairs waits for the first one's transaction, and is new only if that was undone.
    """
    first = {pair: at for at, pair in reversed(list(enumerate(used)))}
    ordered = sorted(first)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO providers_nonce (key_id, nonce, seen_at) SELECT k, n, %s "
            "FROM unnest(%s::uuid[], %s::uuid[]) AS t (k, n) ON CONFLICT DO NOTHING RETURNING key_id, nonce",
            [now, [key for key, _ in ordered], [UUID(bytes=nonce) for _, nonce in ordered]],
        )
        claimed = {(key, nonce.bytes) for key, nonce in cursor.fetchall()}
    return [pair in claimed and first[pair] == at for at, pair in enumerate(used)]


def authenticate(request: SignedRequest, *, now: datetime) -> AgentIdentity:
    """The agent that signed one request; its nonce is spent, whatever comes of the request.

    :raises BadSignature, AgentParked: see there.
    """
    (who,) = identify([request], now=now)
    if isinstance(who, BadSignature):
        raise who
    with transaction.atomic():
        if claim_nonces([(who.key_id, request.nonce_hash)], now=now) != [True]:
            raise BadSignature("replayed", "This nonce was used before.")
    if who.parked:
        raise AgentParked("This agent is parked; its provider can release it.")
    return who


def forget_nonces(*, now: datetime) -> int:
    """Delete nonces that no signature could carry any more; gives how many."""
    gone, _ = Nonce.objects.filter(seen_at__lt=now - signatures.REMEMBERED).delete()
    return gone


def _keys(key_ids: Collection[UUID]) -> dict[UUID, tuple[AgentIdentity, bytes, datetime | None]]:
    """Keys with whom they speak for. A suspended organisation's kind is empty: its keys have ended."""
    rows = AgentKey.objects.filter(id__in=list(key_ids)).values_list(
        "id", "public_key", "ends_at", "agent_id", "agent__state", "agent__organisation_id",
        "agent__organisation__kind", "agent__organisation__state", "agent__last_seen_at",
    )  # fmt: skip
    found = {}
    for key_id, raw, ends_at, agent_id, state, organisation_id, kind, organisation_state, seen_at in rows:
        good = organisation_state == "active" and state != Agent.State.REVOKED
        parked = state == Agent.State.PARKED
        who = AgentIdentity(agent_id, key_id, organisation_id, kind if good else "", parked, seen_at)
        found[key_id] = (who, bytes(raw), ends_at)
    return found


def _is_stale(who: AgentIdentity, now: datetime) -> bool:
    return who.last_seen_at is None or who.last_seen_at < now - _SEEN_EVERY


def _note_seen(agent_ids: Collection[UUID], now: datetime) -> None:
    if not agent_ids:
        return
    stale = Agent.objects.filter(Q(last_seen_at=None) | Q(last_seen_at__lt=now - _SEEN_EVERY), id__in=agent_ids)
    # Rows that another process writes just now were seen just now.
    with transaction.atomic():
        rows = list(stale.order_by("id").select_for_update(skip_locked=True, no_key=True).values_list("id", flat=True))
        if rows:
            Agent.objects.filter(id__in=rows).update(last_seen_at=now)


def _once(
    *, operation: str, key: str, payload: dict[str, Any], actor: Actor, now: datetime, effect: Callable[[], NewToken]
) -> NewToken:
    made: list[NewToken] = []

    def stored() -> dict[str, str]:
        made.append(effect())
        return {"id": ids.encode("agt", made[0].agent_id)}  # never the token: the answer is stored

    once = idempotency.once_durable(
        organisation_id=actor.organisation_id, key=key, operation=operation, payload=payload, now=now, effect=stored
    )
    if once.replayed:
        raise MadeBefore("This was done before; the token cannot be shown again.", id=once.body["id"])
    return made[0]


def _own(agent_id: UUID, actor: Actor) -> Agent:
    agent = locks.agent(agent_id) if Agent.objects.filter(id=agent_id).exists() else None
    if agent is None or agent.organisation_id != actor.organisation_id:
        raise NotFound("There is no such agent.")
    return agent


def _token(agent_id: UUID, now: datetime) -> NewToken:
    token = f"tsreg_{secrets.token_urlsafe(32)}"
    RegistrationToken.objects.create(
        agent_id=agent_id, digest=hashlib.sha256(token.encode()).digest(), created_at=now, expires_at=now + TOKEN_LIFE
    )
    return NewToken(agent_id, token, now + TOKEN_LIFE)


def _public_key(text: str) -> bytes:
    raw = signatures.read_public_key(text)
    if raw is None:
        raise BadValue("A public key is 32 raw Ed25519 bytes in base64url.", field="public_key")
    return raw


def _add_key(agent_id: UUID, raw: bytes, now: datetime) -> AgentKey:
    try:
        with transaction.atomic():
            return AgentKey.objects.create(agent_id=agent_id, public_key=raw, created_at=now)
    except IntegrityError as error:
        if "providers_agent_key_once" in str(error):
            raise KeyTaken("This public key was handed in before; make another.", field="public_key") from None
        raise


def _end_keys(agent_id: UUID, *, at: datetime) -> None:
    AgentKey.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), agent_id=agent_id).update(ends_at=at)


def _record(agent_id: UUID, action: str, actor: Actor, now: datetime, **detail: str) -> None:
    audit.record(actor=actor, action=action, subject=ids.encode("agt", agent_id), detail=detail, now=now)


def _record_by_agent(agent: Agent, action: str, key_id: UUID, now: datetime) -> None:
    organisation = agent.organisation
    by = Actor(organisation.id, organisation.kind, organisation.name, None, None, None, frozenset())
    _record(agent.id, action, by, now, key=ids.encode("agk", key_id))
