"""Connections to the engine, kept open between requests."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import deque
from typing import Protocol, cast
from urllib.parse import urlsplit

import h11

from tokenspot_client.agent.proxy.asking import Headers

log = logging.getLogger("tokenspot.agent")
_IDLE_SECONDS = 4.0  # servers close idle connections after five and more


class Answering(Protocol):
    """Who waits for an answer."""

    def on_head(self, status: int, reason: bytes, headers: Headers) -> None: ...
    def on_data(self, data: bytes, *, last: bool = False) -> None: ...
    def on_end(self) -> None: ...
    def on_broken(self, *, began: bool, reused: bool) -> None: ...


class Upstream(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._http = h11.Connection(h11.CLIENT)
        self._waiting: Answering | None = None
        self._began = self._used = False
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    def request(self, waiting: Answering, method: bytes, target: bytes, headers: Headers, body: bytes) -> None:
        """Send a request; ``waiting`` hears of its answer."""
        assert self.transport is not None and self._waiting is None
        self._waiting, self._began = waiting, False
        parts = [self._http.send(h11.Request(method=method, target=target, headers=headers))]
        if body:
            parts.append(self._http.send(h11.Data(body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        self.transport.write(b"".join(part for part in parts if part))

    def data_received(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            log.warning("the engine does not speak HTTP: %s", error)
            self._break()

    def eof_received(self) -> None:
        self.data_received(b"")  # ends an answer without a length

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._engine.forget(self)
        self._break()

    def abort(self) -> None:
        """Nobody waits any more: closing tells the engine to stop generating."""
        self._waiting = None
        if self.transport is not None:
            self.transport.abort()

    def _read(self) -> None:
        parts: list[bytes] = []
        while self._waiting is not None:
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                continue
            if isinstance(event, h11.Response):
                self._began = True
                self._waiting.on_head(event.status_code, bytes(event.reason), event.headers.raw_items())
                continue
            if isinstance(event, h11.InformationalResponse):
                continue
            if parts:
                self._waiting.on_data(b"".join(parts), last=isinstance(event, h11.EndOfMessage))
            if isinstance(event, h11.EndOfMessage):
                self._finish()
            elif isinstance(event, h11.ConnectionClosed):
                self._break()
            return

    def _finish(self) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        again = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if again:
            self._http.start_next_cycle()
            self._used = True
            self._engine.take_back(self)
        elif self.transport is not None:
            self.transport.close()
        waiting.on_end()

    def _break(self) -> None:
        waiting, self._waiting = self._waiting, None
        if self.transport is not None:
            self.transport.abort()
        if waiting is not None:
            waiting.on_broken(began=self._began, reused=self._used)


class Engine:
    """The engine's address and its open connections.

    :raises ValueError: no address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is no address of an engine: http://host:port")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.name = parts.netloc.rpartition("@")[2].encode()
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._idle: deque[Upstream] = deque()

    def reuse(self) -> Upstream | None:
        """An open connection, the one used last."""
        while self._idle:
            upstream = self._idle.pop()
            if upstream.transport is not None and not upstream.transport.is_closing():
                return upstream
        return None

    async def connect(self) -> Upstream:
        """A new connection.

        :raises OSError: the engine is not there.
        """
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(
            lambda: Upstream(self),
            self.host,
            self.port,
            ssl=self._tls,
            server_hostname=self.host if self._tls else None,
        )
        return upstream

    def take_back(self, upstream: Upstream) -> None:
        upstream.idle_since = time.monotonic()
        self._idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        if upstream in self._idle:
            self._idle.remove(upstream)

    def sweep(self) -> None:
        """Close connections that were idle for some seconds."""
        oldest = time.monotonic() - _IDLE_SECONDS
        while self._idle and self._idle[0].idle_since < oldest:
            self._close(self._idle.popleft())

    def close(self) -> None:
        while self._idle:
            self._close(self._idle.popleft())

    @staticmethod
    def _close(upstream: Upstream) -> None:
        if upstream.transport is not None:
            upstream.transport.close()
