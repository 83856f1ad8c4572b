"""Who the agent is: its Ed25519 key and what the platform calls it, in one file that only its owner reads."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tokenspot_client.agent import VERSION, files

if TYPE_CHECKING:
    from tokenspot_client.agent.transport import Answer, Transport

_FILE = "identity.json"
_NEXT = "next-key.json"
_CREATED = 201


class NoIdentity(Exception):
    """The folder holds no registered agent, or one that cannot be read."""


class Refused(Exception):
    """The platform refused to register an agent or to change its key."""


@dataclass(frozen=True)
class Identity:
    """A registered agent."""

    agent: str
    keyid: str
    organisation: str
    url: str
    key: Ed25519PrivateKey


def load(state: Path) -> Identity:
    """Read the agent of a state folder.

    :raises NoIdentity: there is none.
    """
    plain = files.read_json(state / _FILE)
    if plain is None:
        raise NoIdentity(f"{state} holds no registered agent: run `tokenspot agent register` first")
    try:
        key = Ed25519PrivateKey.from_private_bytes(_bytes(plain["private_key"]))
        agent, keyid, organisation, url = (str(plain[name]) for name in ("agent", "keyid", "organisation", "url"))
    except (KeyError, ValueError, TypeError):
        raise NoIdentity(f"{state / _FILE} is damaged: ask for a new registration token and register again") from None
    return Identity(agent, keyid, organisation, url, key)


def changed_at(state: Path) -> int:
    """Tells whether the file was replaced, by `rotate-key` beside a running agent."""
    try:
        return (state / _FILE).stat().st_mtime_ns
    except OSError:
        return 0


def register(state: Path, transport: Transport, *, url: str, token: str) -> tuple[Identity, float | None]:
    """Make a key and tell the platform; the identity, and the platform's time in seconds since 1970.

    A key that was made for an attempt without answer is used again.

    :raises Refused: the token is not good (any more).
    :raises Unreachable: no answer.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = _next_key(state)
    answer = transport.post_unsigned(
        "/api/v1/agent/register", {"registration_token": token, "public_key": public(key), "version": VERSION}
    )
    if answer.status != _CREATED:
        raise Refused(answer.told)
    told = _told(answer, "agent", "keyid", "organisation")
    identity = Identity(told["agent"], told["keyid"], told["organisation"], url, key)
    _save(state, identity)
    return identity, answer.server_time


def rotate(state: Path, transport: Transport) -> Identity:
    """Change the key; the old one stays good for some minutes, so that nothing on its way is refused.

    :raises NoIdentity: there is no agent.
    :raises Refused: the platform says no.
    :raises Unreachable: no answer; run it again, the same new key is offered.
    """
    old, key = load(state), _next_key(state)
    body = f'{{"public_key":"{public(key)}"}}'.encode()
    answer = transport.send(old, "POST", "/api/v1/agent/rotate-key", body)
    if answer.status != 200:
        raise Refused(answer.told)
    identity = Identity(old.agent, _told(answer, "keyid")["keyid"], old.organisation, old.url, key)
    _save(state, identity)
    return identity


def public(key: Ed25519PrivateKey) -> str:
    """The public half as the platform takes it."""
    return base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")


def _told(answer: Answer, *names: str) -> dict[str, str]:
    missing = [name for name in names if not isinstance(answer.body.get(name), str)]
    if missing:
        raise Refused(f"the platform's answer lacks {', '.join(missing)}: is this the right address?")
    return {name: answer.body[name] for name in names}


def _next_key(state: Path) -> Ed25519PrivateKey:
    """The key that is about to be used; on disk before the platform hears of it."""
    plain = files.read_json(state / _NEXT)
    if plain is not None:
        return Ed25519PrivateKey.from_private_bytes(_bytes(plain["private_key"]))
    key = Ed25519PrivateKey.generate()
    files.replace_json(state / _NEXT, {"private_key": _text(key.private_bytes_raw())})
    return key


def _save(state: Path, identity: Identity) -> None:
    plain: dict[str, Any] = {
        "agent": identity.agent,
        "keyid": identity.keyid,
        "organisation": identity.organisation,
        "url": identity.url,
        "private_key": _text(identity.key.private_bytes_raw()),
    }
    files.replace_json(state / _FILE, plain)
    (state / _NEXT).unlink(missing_ok=True)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text)
