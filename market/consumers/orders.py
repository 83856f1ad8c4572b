"""The private feed: every order of the caller's organisation that changed, in full, within a second or so.

At least once: a change may be told twice, and each message says all of an order, so the last word counts. One pump
per web process asks for all organisations that listen, whatever the number of sockets.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from itertools import islice
from typing import Any, cast
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.auth import get_user
from django.db import Error
from django.http import HttpRequest, parse_cookie

from accounts.authentication import actor_from_headers
from accounts.http.web import ACTIVE_ORGANISATION
from accounts.kernel.actor import Actor
from accounts.selectors import actors, clock
from market import selectors
from market.consumers import sockets
from market.consumers.sockets import Receive, Scope, Send, Socket, in_pool
from market.selectors import OrderView, changes

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
SLOWEST_POLL_SECONDS = 2.0
AUTH_SECONDS = 5.0
RECHECK_SECONDS = 60.0
PAGE = 200
BATCH = 500
MOST_WAITING = 10_000
MOST_OF_ONE = 50
SCOPE = "orders:read"
Shape = Callable[[OrderView], dict[str, Any]]


@dataclass(frozen=True)
class Credential:
    """What a socket was opened with: an API key's secret, or the id of a session."""

    key: str | None = None
    session: str | None = None

    def actor(self) -> Actor | None:
        """Who that is now; None where it is not valid, or not valid any more."""
        if self.key is not None:
            return actor_from_headers({"authorization": f"Bearer {self.key}"})
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(self.session)
        user = cast(Any, get_user(request))
        if not user.is_authenticated:
            return None
        chosen = request.session.get(ACTIVE_ORGANISATION)
        found = actors.for_user(user, organisation_id=UUID(chosen)) if chosen else None
        return found or actors.for_user(user)


class Pump:
    """Reads what changed while anybody listens."""

    def __init__(self, shape: Shape) -> None:
        self.sockets: dict[UUID, set[OrdersSocket]] = {}
        self._shape = shape
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._states: dict[UUID, dict[UUID, int]] = {}
        self._marks: dict[UUID, tuple[int, int, int]] = {}
        self._since = UUID(int=0)

    async def join(self, socket: OrdersSocket) -> bool:
        """Add a socket with a snapshot; False where its organisation has too many."""
        assert socket.actor is not None
        owner = socket.actor.organisation_id
        # In turn with the reading of changes: nothing older than the snapshot can follow it.
        async with self._turn:
            if len(self.sockets.get(owner, ())) >= MOST_OF_ONE:
                return False
            if not self.sockets:
                self._since = changes.new_since(await in_pool(clock.now))
            if owner not in self.sockets:
                states = await in_pool(changes.states, [owner], self._since)
                await self._snapshot(socket)
                self._states |= states
            else:
                await self._snapshot(socket)
            self.sockets.setdefault(owner, set()).add(socket)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run())
            return True

    async def resync(self, socket: OrdersSocket) -> None:
        """A fresh snapshot, in turn."""
        async with self._turn:
            await self._snapshot(socket)

    async def _snapshot(self, socket: OrdersSocket) -> None:
        assert socket.actor is not None
        socket.start(await in_pool(_read_snapshot, socket.actor, self._shape))

    def leave(self, socket: OrdersSocket) -> None:
        """Forget a socket, with it an organisation that listens no more, and with the last one the pump."""
        owner = socket.actor.organisation_id if socket.actor else None
        listening = self.sockets.get(owner) if owner else None
        if owner is None or listening is None:
            return
        listening.discard(socket)
        if not listening:
            for by_owner in (self.sockets, self._states, self._marks):
                by_owner.pop(owner, None)
        if not self.sockets and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        beat = checked = loop.time()
        pause = POLL_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = loop.time()
            try:
                async with self._turn:
                    await self._follow()
                if loop.time() - checked >= RECHECK_SECONDS:
                    checked = loop.time()
                    await self._recheck()
            except Error:
                log.warning("market.orders_feed.database_away")
                continue
            except Exception:
                log.exception("market.orders_feed.failed")
                continue
            if loop.time() - beat >= sockets.HEARTBEAT_SECONDS:
                beat = loop.time()
                for socket in self._everybody():
                    socket.beat()
            # Much open or a busy machine: ask less often, but never seldom.
            pause = min(SLOWEST_POLL_SECONDS, max(POLL_SECONDS, 9 * (loop.time() - began)))

    def _everybody(self) -> list[OrdersSocket]:
        return [socket for listening in self.sockets.values() for socket in listening]

    async def _follow(self) -> None:
        """Tell each organisation what changed since the last time."""
        now = await in_pool(clock.now)
        if changes.new_since(now - timedelta(minutes=1)) > self._since:
            self._since, self._marks = changes.new_since(now), {}
        owners = list(self.sockets)
        marks = await in_pool(changes.marks, owners, self._since)
        stirred = [owner for owner in owners if self._marks.get(owner) != marks[owner]]
        if not stirred:
            return
        states = await in_pool(changes.states, stirred, self._since)
        ids = [
            order_id for owner in stirred for order_id in changes.changed(self._states.get(owner, {}), states[owner])
        ]
        told = await in_pool(_read_orders, ids, self._shape)
        for owner in stirred:
            listening = self.sockets.get(owner)
            if listening is None:
                continue  # left meanwhile
            for socket in listening:
                socket.tell(told.get(owner, {}))
            self._states[owner], self._marks[owner] = states[owner], marks[owner]

    async def _recheck(self) -> None:
        """Close what a key or session opened that does not hold any more; each is asked for once."""
        listening = self._everybody()
        held = {socket.credential for socket in listening}
        now = await in_pool(_read_actors, held)
        for socket in listening:
            actor = now.get(socket.credential)
            if actor is None or socket.actor is None or actor.organisation_id != socket.actor.organisation_id:
                socket.close(sockets.UNAUTHORIZED, "unauthorized")
            elif not actor.can(SCOPE):
                socket.close(sockets.FORBIDDEN, "forbidden")


_pumps: dict[asyncio.AbstractEventLoop, Pump] = {}


def _pump(shape: Shape) -> Pump:
    """The pump of this process; an event loop of its own (as in tests) has one of its own."""
    loop = asyncio.get_running_loop()
    for gone in [one for one in _pumps if one.is_closed()]:
        del _pumps[gone]
    if loop not in _pumps:
        _pumps[loop] = Pump(shape)
    return _pumps[loop]


def _read_actors(credentials: Collection[Credential | None]) -> dict[Credential | None, Actor | None]:
    return {one: one.actor() for one in credentials if one is not None}


def _read_snapshot(actor: Actor, shape: Shape) -> dict[str, Any]:
    found = selectors.orders(actor, open_only=True, limit=PAGE + 1)
    data = [shape(view) for view in found[:PAGE]]
    return {"data": data, "next": data[-1]["id"] if len(found) > PAGE else None}


def _read_orders(order_ids: list[UUID], shape: Shape) -> dict[UUID, dict[UUID, str]]:
    """By the organisation that owns them: the JSON of orders by id, encoded once for all its sockets."""
    told: dict[UUID, dict[UUID, str]] = {}
    for start in range(0, len(order_ids), BATCH):
        for order_id, view in sorted(selectors.orders_many(order_ids[start : start + BATCH]).items()):
            told.setdefault(view.organisation_id, {})[order_id] = _text(shape(view))
    return told


def _text(message: Any) -> str:
    return json.dumps(message, separators=(",", ":"))


class OrdersSocket(Socket):
    """One listener of one organisation."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, shape: Shape) -> None:
        super().__init__(scope, receive, send)
        self.actor: Actor | None = None
        self.credential: Credential | None = None
        self._shape = shape
        self._joined = False
        self._sequence = 0
        self._asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._resync = False
        self._woken = asyncio.Event()
        self._texts: deque[str] = deque()
        self._waiting: dict[UUID, str] = {}
        self._beats = False

    async def opened(self) -> None:
        """Find out who it is, then start with a snapshot of what is open."""
        self.credential = await self._credential()
        actor = await in_pool(self.credential.actor) if self.credential else None
        if actor is None:
            self.close(sockets.UNAUTHORIZED, "unauthorized")
        elif not actor.can(SCOPE):
            self.close(sockets.FORBIDDEN, "forbidden")
        else:
            self.actor = actor
            if await _pump(self._shape).join(self):
                self._joined = True
            else:
                self.close(sockets.TOO_MANY, "too_many_sockets")

    async def _credential(self) -> Credential | None:
        """The key of the header, else the session of a page of this site, else the key of the first message."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.scope["headers"]}
        if "authorization" in headers:
            scheme, _, secret = headers["authorization"].partition(" ")
            return Credential(key=secret.strip()) if scheme.lower() == "bearer" else None
        session = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
        # Only a browser says an origin, which was looked at; a cookie without one was carried here by something else.
        if session and "origin" in headers:
            return Credential(session=session)
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                return Credential(key=await self._asked)
        except TimeoutError:
            return None

    async def heard(self, message: dict[str, Any]) -> bool:
        """`auth` gives the key, once; `resync` is answered by what is open now."""
        kind = message.get("type")
        if kind == "auth" and isinstance(message.get("key"), str) and not self._asked.done() and self.actor is None:
            self._asked.set_result(message["key"])
        elif kind == "resync":
            if self._joined and self.may_resync():
                self._resync = True
                self._woken.set()
        else:
            return False
        return True

    def start(self, page: dict[str, Any]) -> None:
        """Say what is open, after the changes that were read before it."""
        while self._waiting:
            self._texts.append(self._changes())
        self._texts.append(_text({"type": "snapshot", "seq": self._sequence, **page}))
        self._woken.set()

    def tell(self, texts: dict[UUID, str]) -> None:
        """Orders that changed; of one that changes again before it is sent, the last state counts."""
        if texts:
            self._waiting |= texts
            self._woken.set()
        if len(self._waiting) > MOST_WAITING:
            self._waiting.clear()
            self.close(sockets.TOO_SLOW, "too_slow")

    def beat(self) -> None:
        """A sign of life."""
        self._beats = True
        self._woken.set()

    def offer_text(self, text: str) -> None:
        """An error."""
        self._texts.append(text)  # a client that makes many is closed
        self._woken.set()

    async def next_text(self) -> str:
        """Errors and snapshots, then changed orders by the page."""
        while True:
            self._woken.clear()
            if self._resync:
                self._resync = False
                await _pump(self._shape).resync(self)
            if self._texts:
                return self._texts.popleft()
            if self._waiting:
                return self._changes()
            if self._beats:
                self._beats = False
                return _text({"type": "heartbeat", "seq": self._sequence})
            await self._woken.wait()

    def _changes(self) -> str:
        ids = list(islice(self._waiting, PAGE))
        orders = ",".join(self._waiting.pop(one) for one in ids)
        self._sequence += 1
        return f'{{"type":"orders","seq":{self._sequence},"prev_seq":{self._sequence - 1},"data":[{orders}]}}'

    def left(self) -> None:
        """Take nothing more."""
        if self._joined:
            _pump(self._shape).leave(self)


def application(shape: Shape) -> Callable[[Scope, Receive, Send], Any]:
    """`/ws/v1/orders`; `shape` makes the JSON of an order, the same as REST's."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await OrdersSocket(scope, receive, send, shape).serve()

    return serve
