"""The live market over WebSocket: a snapshot, then every frame in sequence, a heartbeat between them.

One pump per web process reads the frames from the database once, cuts them up by product, and puts them into the
bounded queue of every socket. A socket that falls behind gets a new snapshot instead of what it missed; one that takes
nothing for half a minute is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any
from urllib.parse import parse_qs

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError
from django.urls import path

from market import selectors

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
HEARTBEAT_SECONDS = 5.0
SEND_SECONDS = 30.0
QUEUE_LENGTH = 8
TOO_SLOW = 4408


class Message:
    """One frame, encoded once for all sockets: whole, and for each product asked for."""

    def __init__(self, frame: dict[str, Any]) -> None:
        self._frame = frame
        self._texts: dict[str | None, str] = {}

    def text(self, product: str | None) -> str:
        """The frame's JSON, for one product or for all."""
        if product not in self._texts:
            shown = self._frame
            if product is not None and "products" in shown:
                shown = {**shown, "products": [one for one in shown["products"] if one["id"] == product]}
            self._texts[product] = json.dumps(shown, separators=(",", ":"))
        return self._texts[product]


class Pump:
    """Reads new frames while anybody listens."""

    def __init__(self) -> None:
        self.sockets: set[MarketConsumer] = set()
        self._task: asyncio.Task[None] | None = None
        self._snapshot: dict[str, Any] | None = None
        self._starting = asyncio.Lock()

    async def join(self, socket: MarketConsumer) -> None:
        """Add a socket and give it a snapshot."""
        async with self._starting:
            if self._task is None or self._task.done():
                self._snapshot = await _read_snapshot()
                self._task = asyncio.create_task(self._run())
        self.sockets.add(socket)
        socket.offer(self.snapshot())

    def leave(self, socket: MarketConsumer) -> None:
        """Forget a socket; the last one takes the pump with it."""
        self.sockets.discard(socket)
        if not self.sockets and self._task is not None:
            self._task.cancel()
            self._task = None

    def snapshot(self) -> Message:
        """All that is current."""
        assert self._snapshot is not None
        return Message({**self._snapshot, "type": "snapshot"})

    async def _run(self) -> None:
        assert self._snapshot is not None
        beat = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                frames, halted = await _read_after(self._snapshot["seq"])
            except DatabaseError:
                log.warning("market.feed.database_away")
                continue
            gap = bool(frames) and frames[0]["prev_seq"] != self._snapshot["seq"]
            for frame in frames:
                self._snapshot = frame
                self._send(self.snapshot() if gap else Message(frame))
            if halted != self._snapshot["halted"]:
                self._snapshot = {**self._snapshot, "halted": halted, "state": "halted" if halted else "live"}
                self._send(self.snapshot())
            if frames:
                beat = asyncio.get_running_loop().time()
            elif asyncio.get_running_loop().time() - beat >= HEARTBEAT_SECONDS:
                beat = asyncio.get_running_loop().time()
                self._send(Message({"type": "heartbeat", "seq": self._snapshot["seq"], "halted": halted}))

    def _send(self, message: Message) -> None:
        for socket in self.sockets:
            socket.offer(message)


_pumps: dict[asyncio.AbstractEventLoop, Pump] = {}


def _pump() -> Pump:
    """The pump of this process; an event loop of its own (as in tests) has one of its own."""
    loop = asyncio.get_running_loop()
    for gone in [one for one in _pumps if one.is_closed()]:
        del _pumps[gone]
    return _pumps.setdefault(loop, Pump())


@database_sync_to_async
def _read_snapshot() -> dict[str, Any]:
    market = selectors.market_state()
    frame = selectors.snapshot(market.id) if market else None
    if market is None or frame is None:
        number = market.round_number if market else 0
        return {"type": "round", "seq": number, "prev_seq": number - 1, "halted": market is None, "products": []}
    return {**json.loads(frame.payload), "halted": selectors.is_halted(market.id)}


@database_sync_to_async
def _read_after(sequence: int) -> tuple[list[dict[str, Any]], bool]:
    market = selectors.market_state()
    if market is None:
        return [], True
    frames = [json.loads(frame.payload) for frame in selectors.feed_after(market.id, sequence)]
    return frames, market.state != "open"


class MarketConsumer(AsyncWebsocketConsumer):
    """One listener; `?product=prd_…` narrows the frames to one product. Public data only, so anybody may listen."""

    async def connect(self) -> None:
        """Accept, and start with a snapshot."""
        query = parse_qs(self.scope["query_string"].decode("ascii", "ignore"))
        self.product = query.get("product", [""])[0][:40] or None
        self.queue: asyncio.Queue[Message] = asyncio.Queue(QUEUE_LENGTH)
        self.writer: asyncio.Task[None] | None = None
        await self.accept()
        await _pump().join(self)
        self.writer = asyncio.create_task(self._write())

    def offer(self, message: Message) -> None:
        """Queue a message; a full queue is emptied for a snapshot, which says all that was in it."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            message = _pump().snapshot()
        self.queue.put_nowait(message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Whatever a listener says, the answer is where the market stands."""
        self.offer(_pump().snapshot())

    async def disconnect(self, code: int) -> None:
        """Stop writing."""
        _pump().leave(self)
        if self.writer is not None:
            self.writer.cancel()

    async def _write(self) -> None:
        while True:
            message = await self.queue.get()
            try:
                await asyncio.wait_for(self.send(text_data=message.text(self.product)), SEND_SECONDS)
            except TimeoutError:
                with contextlib.suppress(Exception):
                    await self.close(code=TOO_SLOW)
                return


websocket_urlpatterns = [path("ws/v1/market", MarketConsumer.as_asgi())]
