"""The few parts of ASGI that the gateway needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dispatch.kernel.errors import BadRequest, BodyTooLarge

MAX_BODY = 1_048_576
_READ_SECONDS = 15
Header = tuple[bytes, bytes]


class ClientGone(Exception):
    """The client left; there is nobody to answer."""


@dataclass
class Exchange:
    """One request and the way back to its client."""

    scope: dict[str, Any]
    receive: Any
    send: Any
    started: bool = False  # an answer is on its way; another cannot be given

    @property
    def request_id(self) -> str:
        """The id that the answer's X-Request-Id names."""
        return str(self.scope.get("request_id", ""))

    def headers(self) -> dict[str, str]:
        """Request headers by lower-case name; the last of a repeated one."""
        return {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in self.scope["headers"]}

    async def body(self) -> bytes:
        """The whole body.

        :raises BodyTooLarge, BadRequest, ClientGone: too large, too slow, gone.
        """
        try:
            async with asyncio.timeout(_READ_SECONDS):
                return await self._read()
        except TimeoutError:
            raise BadRequest("The body did not arrive in time.") from None

    async def _read(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY:
                raise BodyTooLarge(f"A request is at most {MAX_BODY} bytes.")
            if not message.get("more_body"):
                return b"".join(parts)

    async def gone(self) -> None:
        """Return once the client has left."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def answer(self, status: int, body: bytes, headers: Sequence[Header] = ()) -> None:
        """One JSON answer."""
        await self._start(status, b"application/json", [*headers, (b"content-length", str(len(body)).encode())])
        await self.send({"type": "http.response.body", "body": body})

    async def start_events(self) -> None:
        """Begin a stream of server-sent events; proxies must not collect it."""
        extra = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await self._start(200, b"text/event-stream; charset=utf-8", extra)

    async def write(self, data: bytes) -> None:
        """A part of the stream; waits while the client is slow."""
        if data:
            await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The last part of the stream."""
        await self.send({"type": "http.response.body", "body": data})

    async def _start(self, status: int, content_type: bytes, headers: Sequence[Header]) -> None:
        self.started = True
        start = {"type": "http.response.start", "status": status}
        await self.send({**start, "headers": [(b"content-type", content_type), *headers]})
