"""One streaming call to a provider's engine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from accounts.kernel import ids
from dispatch.kernel.asking import Asked
from dispatch.kernel.engine_stream import BadStream, EventReader, Piece, read_chunk
from providers.selectors import DeploymentView

_TIMEOUT = httpx.Timeout(connect=5, read=60, write=10, pool=5)
_LIMITS = httpx.Limits(max_connections=512, max_keepalive_connections=64, keepalive_expiry=2)
_HTTPS, _HTTP = 443, 80


class EngineError(Exception):
    """The engine did not do what it should. `reason` is a word of ours: what engines say may quote the prompt."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def client() -> httpx.AsyncClient:
    """A client for one event loop: no proxies of the environment, no redirects to elsewhere."""
    return httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, trust_env=False, follow_redirects=False)


@dataclass(frozen=True, slots=True)
class Named:
    """What the provider's own meter is told of a request, so that its record names what ours does."""

    request_id: str
    allocation_id: UUID
    card_digest: str


async def complete(
    http: httpx.AsyncClient, deployment: DeploymentView, asked: Asked, *, key: str, max_tokens: int,
    named: Named | None = None,
) -> AsyncGenerator[Piece, None]:  # fmt: skip
    """Ask an engine and give its answer piece by piece; ends only after the engine said that it is done.

    :raises EngineError: not reachable, refused, slow, broken off, or no stream of completions.
    """
    try:
        url, headers, extensions = await _target(deployment, asked)
        if key:
            headers["authorization"] = f"Bearer {key}"
        if named is not None:
            headers |= {
                "x-tokenspot-request": named.request_id,
                "x-tokenspot-allocation": ids.encode("alc", named.allocation_id),
                "x-tokenspot-card": named.card_digest,
                "x-tokenspot-max-tokens": str(max_tokens),
            }
        body = _body(deployment, asked, max_tokens)
        async with http.stream("POST", url, json=body, headers=headers, extensions=extensions) as response:
            if response.status_code != httpx.codes.OK:
                raise EngineError(f"status_{response.status_code}")
            async for piece in _pieces(response):
                yield piece
    except httpx.TimeoutException:
        raise EngineError("timeout") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
        raise EngineError("connection") from None
    except BadStream:
        raise EngineError("bad_stream") from None


async def _pieces(response: httpx.Response) -> AsyncGenerator[Piece, None]:
    reader = EventReader()
    finished = False
    async for received in response.aiter_bytes():
        for data in reader.feed(received):
            if data == b"[DONE]":
                return
            piece = read_chunk(data)
            finished = finished or piece.finish_reason is not None
            yield piece
    if not finished:
        raise EngineError("broken_off")


def _body(deployment: DeploymentView, asked: Asked, max_tokens: int) -> dict[str, Any]:
    prompt: dict[str, Any] = (
        {"messages": [{"role": role, "content": text} for role, text in asked.messages]}
        if asked.chat
        else {"prompt": asked.messages[0][1]}
    )
    return {
        **asked.options,
        **prompt,
        "model": deployment.engine_model,
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def _target(deployment: DeploymentView, asked: Asked) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Where to send it. A provider's name is resolved here, and only public addresses are called.

    The address that was looked at is the one that is called, so that a name
    which answers differently the second time gains nothing.
    """
    path = "/v1/chat/completions" if asked.chat else "/v1/completions"
    if deployment.private_endpoint:
        return deployment.endpoint_url + path, {}, {}
    parts = urlsplit(deployment.endpoint_url)
    host = parts.hostname or ""
    port = parts.port or (_HTTPS if parts.scheme == "https" else _HTTP)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise EngineError("unknown_host") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(ip_address(address).is_global for address in addresses):
        raise EngineError("private_address")
    address = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
    headers = {"host": parts.netloc}
    return f"{parts.scheme}://{address}:{port}{parts.path}{path}", headers, {"sni_hostname": host}
