"""The public feed: a snapshot, then every frame in sequence, a heartbeat between them.

One pump per web process reads the frames from the database once, cuts them up by product, and puts them into the
bounded queue of every socket. A socket that falls behind gets a new snapshot instead of what it missed; one that takes
nothing for half a minute is closed.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

import structlog
from django.db import Error

from market import selectors
from market.consumers import sockets
from market.consumers.sockets import Receive, Scope, Send, Socket, in_pool

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
QUEUE_LENGTH = 8


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
        self.sockets: set[MarketSocket] = set()
        self._task: asyncio.Task[None] | None = None
        self._current: dict[str, Any] = {}
        self._snapshot: Message | None = None
        self._starting = asyncio.Lock()

    async def join(self, socket: MarketSocket) -> None:
        """Add a socket and give it a snapshot."""
        async with self._starting:
            if self._task is None or self._task.done():
                self._stand(await in_pool(_read_snapshot))
                self._task = asyncio.create_task(self._run())
        self.sockets.add(socket)
        socket.offer(self.snapshot())

    def leave(self, socket: MarketSocket) -> None:
        """Forget a socket; the last one takes the pump with it."""
        self.sockets.discard(socket)
        if not self.sockets and self._task is not None:
            self._task.cancel()
            self._task = None

    def snapshot(self) -> Message:
        """All that is current, encoded once however many ask."""
        if self._snapshot is None:
            self._snapshot = Message({**self._current, "type": "snapshot"})
        return self._snapshot

    def _stand(self, frame: dict[str, Any]) -> None:
        self._current, self._snapshot = frame, None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        beat = loop.time()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                frames, halted = await in_pool(_read_after, self._current["seq"])
            except Error:
                # No heartbeat either: listeners are to see that nothing new can come.
                log.warning("market.feed.database_away")
                continue
            except Exception:
                log.exception("market.feed.failed")
                continue
            self._follow(frames, halted)
            if loop.time() - beat >= sockets.HEARTBEAT_SECONDS:
                beat = loop.time()
                self._send(Message({"type": "heartbeat", "seq": self._current["seq"], "halted": halted}))

    def _follow(self, frames: list[dict[str, Any]], halted: bool) -> None:
        gap = bool(frames) and frames[0]["prev_seq"] != self._current["seq"]
        for frame in frames:
            self._stand(frame)
            if not gap:
                self._send(Message(frame))
        turned = halted != self._current["halted"]
        if turned:
            self._stand({**self._current, "halted": halted, "state": "halted" if halted else "live"})
        if gap or turned:
            self._send(self.snapshot())

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


def _read_snapshot() -> dict[str, Any]:
    market = selectors.market_state()
    frame = selectors.snapshot(market.id) if market else None
    if market is None or frame is None:
        number = market.round_number if market else 0
        return {"type": "round", "seq": number, "prev_seq": number - 1, "halted": market is None, "products": []}
    return {**json.loads(frame.payload), "halted": selectors.is_halted(market.id)}


def _read_after(sequence: int) -> tuple[list[dict[str, Any]], bool]:
    market = selectors.market_state()
    if market is None:
        return [], True
    frames = [json.loads(frame.payload) for frame in selectors.feed_after(market.id, sequence)]
    return frames, market.state != "open"


class MarketSocket(Socket):
    """One listener; `?product=prd_…` narrows the frames to one product. Public data only, so anybody may listen."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        query = parse_qs(scope["query_string"].decode("ascii", "ignore"))
        self.product = query.get("product", [""])[0][:40] or None
        self.queue: asyncio.Queue[Message | str] = asyncio.Queue(QUEUE_LENGTH)

    async def opened(self) -> None:
        """Start with a snapshot."""
        await _pump().join(self)

    def offer(self, message: Message | str) -> None:
        """Queue a message; a full queue is emptied for a snapshot, which says all that was in it."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            message = _pump().snapshot()
        self.queue.put_nowait(message)

    def offer_text(self, text: str) -> None:
        """An error."""
        self.offer(text)

    async def heard(self, message: dict[str, Any]) -> bool:
        """`resync` is answered by where the market stands."""
        if message.get("type") != "resync":
            return False
        if self in _pump().sockets and self.may_resync():
            self.offer(_pump().snapshot())
        return True

    async def next_text(self) -> str:
        """What waits longest."""
        message = await self.queue.get()
        return message if isinstance(message, str) else message.text(self.product)

    def left(self) -> None:
        """Take nothing more."""
        _pump().leave(self)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """`/ws/v1/market`."""
    await MarketSocket(scope, receive, send).serve()
