"""One client's connection: its requests go to the engine, the answers come back as they are made."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, cast

import h11

from tokenspot_client.agent.proxy.asking import Ask, Headers, passed_on, read_ask
from tokenspot_client.agent.proxy.reading import MalformedUsage, Reader, StreamReader, WholeReader
from tokenspot_client.agent.proxy.upstream import Upstream

if TYPE_CHECKING:
    from tokenspot_client.agent.proxy.server import Proxy

log = logging.getLogger("tokenspot.agent")
_MOST_AHEAD = 64 * 1024
_HEAD = (b"host", b"content-length", b"accept-encoding", b"expect")


class Exchange(asyncio.Protocol):
    """Speaks HTTP/1.1 to one client; one request at a time."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._http = h11.Connection(h11.SERVER)
        self._transport: asyncio.Transport | None = None
        self._upstream: Upstream | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._clear()

    def _clear(self) -> None:
        self._request: h11.Request | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._ask: Ask | None = None
        self._reader: Reader | None = None
        self._status = 0
        self._settled = self._chunked = False
        self._started = 0.0
        self.heard = time.monotonic()  # when engine or client were last heard of
        self.busy = False

    # -- the client's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        self._proxy.opened(self)

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            self.heard = time.monotonic()
        try:
            self._http.receive_data(data)
            if self.busy:
                if len(self._http.trailing_data[0]) > _MOST_AHEAD:
                    self._close()
                return
            self._read()
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, "bad_request", "This is no HTTP request that can be passed on.")

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._proxy.closed(self)
        if self._connecting is not None:
            self._connecting.cancel()
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None
        if self.busy:
            self._settle("client_left")
            self._free()

    def pause_writing(self) -> None:
        if self._upstream is not None and self._upstream.transport is not None:
            self._upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._upstream is not None and self._upstream.transport is not None:
            self._upstream.transport.resume_reading()

    def _read(self) -> None:
        while self._transport is not None and not self.busy:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._request = event
                if self._http.they_are_waiting_for_100_continue:
                    self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
            elif isinstance(event, h11.Data):
                self._size += len(event.data)
                if self._size > self._proxy.most_body:
                    self._refuse(413, "too_large", "The request is larger than this agent passes on.")
                    return
                self._parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._begin()
            else:
                if isinstance(event, h11.ConnectionClosed):
                    self._close()
                return

    # -- towards the engine

    def _begin(self) -> None:
        request = self._request
        assert request is not None
        if self._proxy.draining:
            self._refuse(503, "draining", "This agent is being stopped.")
            return
        if any(name == b"upgrade" for name, _ in request.headers) or request.method == b"CONNECT":
            self._refuse(501, "not_supported", "Only plain requests are passed on.")
            return
        self.busy = True
        self._started, self.heard = time.time(), time.monotonic()
        self._proxy.counts.in_flight += 1
        self._ask = read_ask(request.method, request.target, list(request.headers), b"".join(self._parts))
        self._parts = []
        self._send(self._proxy.engine.reuse())

    def _send(self, upstream: Upstream | None) -> None:
        if upstream is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            return
        request, ask = self._request, self._ask
        assert request is not None and ask is not None
        dropped = frozenset(_HEAD) if ask.counted else frozenset({b"host", b"content-length", b"expect"})
        headers = [(b"Host", self._proxy.engine.name), *passed_on(request.headers.raw_items(), dropping=dropped)]
        if ask.body or request.method in {b"POST", b"PUT", b"PATCH"}:
            headers.append((b"Content-Length", b"%d" % len(ask.body)))
        self._upstream = upstream
        upstream.request(self, request.method, request.target, headers, ask.body)

    async def _connect(self) -> None:
        try:
            upstream = await asyncio.wait_for(self._proxy.engine.connect(), self._proxy.connect_timeout)
        except (OSError, TimeoutError) as error:
            self._connecting = None
            log.warning("the engine is not there: %s", error)
            self._fail(502, "engine_unavailable", "The engine is not there.")
            return
        self._connecting = None
        if self._transport is None:
            upstream.abort()
        else:
            self._send(upstream)

    # -- from the engine

    def on_head(self, status: int, reason: bytes, headers: Headers) -> None:
        ask = self._ask
        assert ask is not None
        self.heard, self._status = time.monotonic(), status
        kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
        dropped = frozenset[bytes]()
        if ask.counted and 200 <= status < 300:
            if kind.startswith(b"text/event-stream"):
                self._reader = StreamReader(time.time, strip=ask.strip)
                dropped = frozenset({b"content-length"}) if ask.strip else dropped
            else:
                self._reader = WholeReader(time.time)
        told = passed_on(headers, dropping=dropped)
        if self._proxy.draining:
            told.append((b"Connection", b"close"))
        self._write(self._http.send(h11.Response(status_code=status, reason=reason, headers=told)))
        self._chunked = not any(name.lower() == b"content-length" for name, _ in told) and self._speaks_chunks()

    def _speaks_chunks(self) -> bool:
        """Whether h11 frames this answer in chunks: then a piece is framed without asking it, which is half the work."""
        assert self._request is not None
        return self._status >= 200 and self._request.http_version == b"1.1" and self._request.method != b"HEAD"

    def on_data(self, data: bytes, *, last: bool = False) -> None:
        self.heard = time.monotonic()
        reader = self._reader
        if reader is not None:
            data = reader.feed(data)
            if last or (isinstance(reader, StreamReader) and reader.done):
                self._settle("answered")  # in the spool before the client has the last of it
        if data:
            self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else self._http.send(h11.Data(data)))

    def on_end(self) -> None:
        self._upstream = None
        rest = self._reader.rest() if self._reader is not None else b""
        self._settle("answered")
        try:
            parts = [self._http.send(h11.Data(rest))] if rest else []
            parts.append(self._http.send(h11.EndOfMessage()))
        except h11.LocalProtocolError:  # the engine's length was not kept
            self._close()
            return
        self._write(b"".join(part for part in parts if part))
        self._free()
        self._next()

    def on_broken(self, *, began: bool, reused: bool) -> None:
        self._upstream = None
        if not began and reused and self._transport is not None:
            self._send(None)  # the engine closed a kept connection just then: it has not begun on this request
            return
        if began:
            self._settle("engine_broke")
            self._free()
            self._close()
        else:
            self._fail(502, "engine_broke", "The engine closed the connection without an answer.")

    def overdue(self) -> None:
        """The engine has said nothing for too long."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        if self._status:
            self._settle("engine_silent")
            self._free()
            self._close()
        else:
            self._fail(504, "engine_silent", "The engine said nothing for too long.")

    def close_when_idle(self) -> None:
        """End a connection on which nothing is under way."""
        if not self.busy:
            self._close()

    # -- ends

    def _settle(self, outcome: str) -> None:
        """Count the request, once, and keep its record."""
        if self._settled:
            return
        self._settled = True
        ask, reader = self._ask, self._reader
        if ask is None or not ask.counted:
            self._proxy.counts.requests["passed"] += 1
            return
        if outcome == "answered" and not 200 <= self._status < 300:
            outcome = f"refused_{self._status // 100}xx"
        self._proxy.counts.requests[outcome] += 1
        if reader is None:
            return
        try:
            usage = reader.usage(ask.limit)
        except MalformedUsage:
            self._proxy.unmetered("bad_usage", ask)
            return
        if usage is None:
            self._proxy.unmetered(outcome if outcome != "answered" else "no_usage", ask)
            return
        now = time.time()
        self._proxy.metered(ask, usage, started=self._started, first=reader.first_token_at or now, finished=now)

    def _free(self) -> None:
        if self.busy:
            self.busy = False
            self._proxy.counts.in_flight -= 1

    def _next(self) -> None:
        """Ready for the connection's next request, where there may be one."""
        if self._transport is None:
            return
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE or self._proxy.draining:
            self._close()
            return
        self._http.start_next_cycle()
        self._clear()
        try:
            self._read()
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, "bad_request", "This is no HTTP request that can be passed on.")

    def _fail(self, status: int, code: str, told: str) -> None:
        self._settle(code)
        self._free()
        self._refuse(status, code, told)

    def _refuse(self, status: int, code: str, told: str) -> None:
        """Answer in the engine's stead, in the form that OpenAI's clients read, and close."""
        if self._transport is None:
            return
        body = json.dumps({"error": {"message": told, "type": "tokenspot_agent", "param": None, "code": code}}).encode()
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(body)),
            (b"Connection", b"close"),
        ]
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self._write(self._http.send(h11.Response(status_code=status, headers=headers)))
            self._write(self._http.send(h11.Data(body)))
            self._write(self._http.send(h11.EndOfMessage()))
        self._close()

    def _write(self, data: bytes | None) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        """Close after what was written; an answer that was cut off shows as such, since its end is missing."""
        if self._transport is not None:
            self._transport.close()
