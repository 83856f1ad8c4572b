"""A request on its way to the engine: what the market says of it, what it asks for, and the usage asked in its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_COUNTED = ("/chat/completions", "/completions", "/embeddings")
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_ASK = b'"stream_options":{"include_usage":true}'
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Market:
    """The gateway's headers: whose request this is."""

    request: str
    allocation: str
    card: str
    limit: int | None


@dataclass(frozen=True)
class Ask:
    """One request. ``counted`` tells whether its answer should carry usage, ``strip`` that we asked for it."""

    body: bytes
    counted: bool
    strip: bool
    limit: int | None
    market: Market | None


def read_ask(method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Ask:
    """What the request asks; its body changes only where a stream would not tell its usage."""
    counted = method == b"POST" and target.partition(b"?")[0].decode("latin-1").endswith(_COUNTED)
    market = read_market(headers)
    limit = market.limit if market else None
    if not counted:
        return Ask(body, counted, False, limit, market)
    try:
        plain = json.loads(body)
    except ValueError:
        return Ask(body, counted, False, limit, market)  # the engine will refuse it
    if not isinstance(plain, dict):
        return Ask(body, counted, False, limit, market)
    if limit is None:
        limit = _limit(plain)
    if plain.get("stream") is not True or _asks_for_usage(plain):
        return Ask(body, counted, False, limit, market)
    return Ask(_asking(plain, body), counted, True, limit, market)


def read_market(headers: Sequence[tuple[bytes, bytes]]) -> Market | None:
    """The gateway's headers; None where one is missing: then the request is the provider's own traffic."""
    found = {name: value.decode("latin-1") for name, value in headers if name.startswith(b"x-tokenspot-")}
    names = (b"x-tokenspot-request", b"x-tokenspot-allocation", b"x-tokenspot-card")
    request, allocation, card = (found.get(name, "") for name in names)
    if not (request and allocation and card):
        return None
    limit = found.get(b"x-tokenspot-max-tokens", "")
    told = limit.isascii() and limit.isdigit() and len(limit) < 10
    return Market(request, allocation, card, limit=int(limit) if told else None)


def passed_on(headers: Sequence[tuple[bytes, bytes]], *, dropping: frozenset[bytes] = frozenset()) -> Headers:
    """Headers without those that speak of one connection only."""
    named = {
        name.strip().lower() for key, value in headers if key.lower() == b"connection" for name in value.split(b",")
    }
    return [(n, v) for n, v in headers if n.lower() not in _HOP_BY_HOP and n.lower() not in named | dropping]


def _limit(plain: dict[str, Any]) -> int | None:
    limit = plain.get("max_completion_tokens") or plain.get("max_tokens")
    return limit if type(limit) is int and 0 <= limit <= 10**9 else None


def _asks_for_usage(plain: dict[str, Any]) -> bool:
    options = plain.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _asking(plain: dict[str, Any], body: bytes) -> bytes:
    options = plain.get("stream_options")
    if "stream_options" not in plain:  # leave every other byte as the client wrote it
        end = body.rindex(b"}")
        return body[:end] + b"," + _ASK + body[end:]
    plain["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return json.dumps(plain).encode()
