"""One WebSocket: what its client may say, how it is written to, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import structlog
from django.db import Error, close_old_connections

log = structlog.get_logger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_T = TypeVar("_T")

HEARTBEAT_SECONDS = 15.0
SEND_SECONDS = 30.0
GOODBYE_SECONDS = 2.0
RESYNC_SECONDS = 1.0
MOST_CHARACTERS = 1_024
MOST_FAULTS = 10
MOST_SOCKETS = 10_000

# Close codes. 4xxx are ours, after the HTTP status that says the same.
FAILED = 1011
TRY_LATER = 1013
BAD_MESSAGES = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
TOO_SLOW = 4408
TOO_MANY = 4429

# All reads of all sockets: as many connections to the database, however many sockets there are.
_pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="sockets")


async def in_pool(work: Callable[..., _T], *arguments: Any) -> _T:
    """Run what asks the database."""

    def run() -> _T:
        close_old_connections()
        try:
            return work(*arguments)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_pool, run)


class Socket:
    """One connection. A subclass says what it does once open, with a message, and which text comes next."""

    open: ClassVar[int] = 0

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive, self._send = receive, send
        self._faults = 0
        self._synced_at = 0.0
        self._end: asyncio.Future[tuple[int, str] | None] = asyncio.get_running_loop().create_future()

    async def opened(self) -> None:
        """After the handshake."""
        raise NotImplementedError

    async def heard(self, message: dict[str, Any]) -> bool:
        """Act on a message; False where it is not known."""
        raise NotImplementedError

    async def next_text(self) -> str:
        """Wait for what is to be sent next."""
        raise NotImplementedError

    def offer_text(self, text: str) -> None:
        """Queue a text of the protocol itself."""
        raise NotImplementedError

    def left(self) -> None:
        """The socket is over."""

    def close(self, code: int, reason: str) -> None:
        """Ask for the end of it; the first word counts."""
        if not self._end.done():
            self._end.set_result((code, reason))

    async def serve(self) -> None:
        """From the handshake to the end."""
        await self._receive()
        await self._send({"type": "websocket.accept"})
        if Socket.open >= MOST_SOCKETS:
            await self._goodbye(TRY_LATER, "too_many_sockets")
            return
        Socket.open += 1
        tasks = [asyncio.create_task(self._guarded(work)) for work in (self._read, self._live)]
        try:
            end = await self._end
        finally:
            Socket.open -= 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.left()
        if end is not None:
            await self._goodbye(*end)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except OSError:  # the client is gone
            self._gone()
        except Error:
            self.close(TRY_LATER, "database_away")
        except Exception:
            log.exception("market.sockets.failed")
            self.close(FAILED, "internal_error")

    def _gone(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    async def _live(self) -> None:
        await self.opened()
        while not self._end.done():
            text = await self.next_text()
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._send({"type": "websocket.send", "text": text})
            except TimeoutError:
                self.close(TOO_SLOW, "too_slow")

    async def _read(self) -> None:
        while not self._end.done():
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                self._gone()
            else:
                await self._hear(event.get("text"))

    async def _hear(self, text: str | None) -> None:
        if text is not None and len(text) > MOST_CHARACTERS:
            self.refuse("message_too_large", f"A message has at most {MOST_CHARACTERS} characters.")
            return
        message = None
        with contextlib.suppress(ValueError, RecursionError):
            message = json.loads(text or "")
        if not isinstance(message, dict):
            self.refuse("not_json", "A message is a JSON object in a text frame.")
        elif not await self.heard(message):
            self.refuse("unknown_message", "There is no message of this type here.")

    def refuse(self, code: str, detail: str) -> None:
        """Say what was wrong; a client that goes on like this is closed."""
        self.offer_text(json.dumps({"type": "error", "code": code, "detail": detail}))
        self._faults += 1
        if self._faults >= MOST_FAULTS:
            self.close(BAD_MESSAGES, "too_many_bad_messages")

    def may_resync(self) -> bool:
        """Whether the last snapshot is long enough ago; refuses the message where not."""
        now = time.monotonic()
        if now - self._synced_at < RESYNC_SECONDS:
            self.refuse("too_many_resyncs", f"Ask for a snapshot at most every {RESYNC_SECONDS:g} s.")
            return False
        self._synced_at = now
        return True

    async def _goodbye(self, code: int, reason: str) -> None:
        """Close with a code; cut the connection of a client that reads nothing, not even that."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except TimeoutError:
            # ASGI has no word for this: a polite close would wait for the client to empty its window, for ever.
            transport = getattr(getattr(self._send, "__self__", None), "transport", None)
            if transport is not None:
                transport.abort()
        except OSError:
            pass
