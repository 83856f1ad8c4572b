"""The OpenAI-compatible gateway, answered before Django: `/v1/models`, `/v1/chat/completions`, `/v1/completions`.

The event loop only moves bytes; everything that asks the database or counts
long texts runs in a bounded pool of threads with their own connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import structlog
from django.db import InterfaceError, OperationalError, close_old_connections

from accounts.authentication import actor_from_headers
from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from dispatch import gateways, services
from dispatch.gateways import EngineError
from dispatch.http import ClientGone, Exchange
from dispatch.kernel.answering import DONE, Answer, Usage, refusal
from dispatch.kernel.asking import Asked, read
from dispatch.kernel.counting import Delivered
from dispatch.kernel.engine_stream import Piece
from dispatch.kernel.errors import Busy, EngineFailed, InternalError, MethodNotAllowed, NotFound, TooFast, Unauthorized
from dispatch.services import Opened, Outcome, State
from market import selectors as market
from market.kernel.errors import NoAllocation
from market.kernel.errors import TooFast as BeyondPace

log = structlog.get_logger(__name__)
_ATTEMPTS = 3
_REQUEST_SECONDS = 600  # below the life of a reservation
_OPEN_MOST = 256
_QUEUE_SECONDS = 10.0  # how long a request that comes too fast for what was bought waits here
_LOOK_AGAIN_SECONDS = 1.0  # others give back what they did not use
_CLOSE_RETRIES = (0.2, 1.0, 3.0)
# What an engine answers where the request is at fault, and not its seller.
_REQUESTS_FAULT = {"status_400", "status_413", "status_415", "status_422"}
_UNAVAILABLE = (OperationalError, InterfaceError)
POOL_THREADS = 8
_pool = ThreadPoolExecutor(max_workers=POOL_THREADS, thread_name_prefix="gateway")
_T = TypeVar("_T")


class _Process:
    """What all requests of this process share."""

    def __init__(self) -> None:
        self.open = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._http = gateways.client()

    def http(self) -> Any:
        """The client of this event loop: connections cannot wander between loops."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._http = loop, gateways.client()
        return self._http


_process = _Process()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer one request under `/v1/`."""
    exchange = Exchange(scope, receive, send)
    try:
        await _route(exchange)
    except ClientGone:
        pass
    except DomainError as error:
        await _refuse(exchange, error)
    except _UNAVAILABLE:
        log.warning("dispatch.database_unavailable", request_id=exchange.request_id)
        await _refuse(exchange, Busy("The database did not answer; try again."))
    except Exception as error:
        # The kind of the error only: its text may hold a part of the request.
        log.error("dispatch.failed", request_id=exchange.request_id, error=type(error).__name__)
        await _refuse(exchange, InternalError("Something went wrong here."))


async def _route(exchange: Exchange) -> None:
    method, path = exchange.scope["method"], exchange.scope["path"]
    if path == "/v1/models" and method == "GET":
        await exchange.answer(200, await _in_pool(_models, exchange.headers()))
    elif path in {"/v1/chat/completions", "/v1/completions"} and method == "POST":
        await _completion(exchange, chat=path == "/v1/chat/completions")
    elif path in {"/v1/models", "/v1/chat/completions", "/v1/completions"}:
        raise MethodNotAllowed("This address takes another method.")
    else:
        raise NotFound("There is nothing here.")


def _models(headers: dict[str, str]) -> bytes:
    actor = _authenticate(headers)
    services.check_scope(actor)
    listed = [
        {"id": line.slug, "object": "model", "created": 0, "owned_by": line.publisher}
        for line in market.lines(actor.organisation_id)
    ]
    return msgspec.json.encode({"object": "list", "data": listed})


async def _completion(exchange: Exchange, *, chat: bool) -> None:
    if _process.open >= _OPEN_MOST:
        raise Busy("Too many requests are open here.")
    _process.open += 1
    try:
        actor = await _in_pool(_authenticate, exchange.headers())
        raw = await exchange.body()
        gone = asyncio.create_task(exchange.gone())
        try:
            asked, opened = await _begin_in_pace(raw, chat, actor, exchange.request_id, gone)
            await _deliver(exchange, asked, opened, actor, gone)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
    finally:
        _process.open -= 1


async def _begin_in_pace(
    raw: bytes, chat: bool, actor: Actor, request_id: str, gone: asyncio.Task[None]
) -> tuple[Asked, Opened]:
    """Open the request, waiting while what was bought may not be drawn this fast.

    :raises TooFast: it did not become free in time.
    :raises ClientGone: the client left meanwhile.
    """
    deadline = time.monotonic() + _QUEUE_SECONDS
    while True:
        try:
            return await _in_pool(_begin, raw, chat, actor, request_id)
        except BeyondPace as error:
            retry_after = float(error.details["retry_after"])
            left = deadline - time.monotonic()
            if left <= 0:
                raise TooFast(str(error), retry_after=retry_after) from None
        await asyncio.wait({gone}, timeout=min(max(retry_after, 0.02), _LOOK_AGAIN_SECONDS, left))
        if gone.done():
            raise ClientGone


def _authenticate(headers: dict[str, str]) -> Actor:
    actor = actor_from_headers(headers)
    if actor is None:
        raise Unauthorized("Send a valid API key: Authorization: Bearer tsk_…")
    return actor


def _begin(raw: bytes, chat: bool, actor: Actor, request_id: str) -> tuple[Asked, Opened]:
    services.check_scope(actor)
    asked = read(raw, chat=chat)
    return asked, services.open_request(asked, actor=actor, request_id=request_id, now=clock.now())


async def _deliver(exchange: Exchange, asked: Asked, opened: Opened, actor: Actor, gone: asyncio.Task[None]) -> None:
    """Try deployments until one begins to answer; a client never sees the ones that did not."""
    failed = set()
    first, only_sellers_failed = opened, True
    for attempt in range(1, _ATTEMPTS + 1):
        relay = Relay(exchange, asked, opened)
        usage = await relay.run(gone)
        if not relay.may_retry:
            await relay.finish(usage)
            return
        failed.add(opened.deployment.id)
        only_sellers_failed &= relay.is_sellers_fault
        if gone.done() or attempt == _ATTEMPTS:
            break
        try:
            opened = await _in_pool(_begin_again, asked, actor, exchange.request_id, frozenset(failed))
        except (NoAllocation, BeyondPace):
            break
    if not gone.done():
        if only_sellers_failed:
            await _in_pool(_fall_short, first)
        raise EngineFailed("No deployment that sold to you answered. Nothing is billed for this request.")


def _fall_short(opened: Opened) -> None:
    try:
        services.fall_short(opened, now=clock.now())
    except DomainError as error:  # what the client is told does not depend on it
        log.error("dispatch.shortfall_not_recorded", request_id=opened.request_id, code=error.code)


def _begin_again(asked: Asked, actor: Actor, request_id: str, avoid: frozenset[Any]) -> Opened:
    return services.open_request(asked, actor=actor, request_id=request_id, now=clock.now(), avoid=avoid)


class Relay:
    """One attempt: an engine's answer on its way to the client, counted as it passes."""

    def __init__(self, exchange: Exchange, asked: Asked, opened: Opened) -> None:
        self._exchange = exchange
        self._asked = asked
        self._opened = opened
        self._delivered = Delivered(opened.tokenizer, opened.max_tokens)
        self._answer = Answer(
            request_id=opened.request_id,
            model=opened.line.slug,
            created=int(opened.opened_at.timestamp()),
            chat=asked.chat,
            include_usage=asked.include_usage,
        )
        self._began = time.monotonic()
        self._first_after: float | None = None
        self._last_after: float | None = None
        self._client_left = False
        self._blocked = 0.0  # seconds that the client took to read
        self._cached = 0
        self.is_sellers_fault = False
        self._finish_reason = ""
        self._state = State.FAILED

    @property
    def may_retry(self) -> bool:
        """Whether the attempt failed before the client saw anything of it."""
        return self._state == State.FAILED and not self._exchange.started

    async def run(self, gone: asyncio.Task[None]) -> Usage:
        """Relay until the engine is done, fails, or the client leaves; then draw, meter and log. Gives the usage."""
        work = asyncio.create_task(self._pump())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            ended = await asyncio.gather(work, return_exceptions=True)
            self._state = self._judge(ended[0])
            # A TimeoutError is an OSError: then it is the engine that took too long, unless the client kept it waiting.
            too_long = isinstance(ended[0], TimeoutError) and self._blocked < _REQUEST_SECONDS / 2
            self._client_left = isinstance(ended[0], asyncio.CancelledError | OSError) and not too_long
            # Shielded: even when the server stops, what was delivered is counted.
            usage = await asyncio.shield(asyncio.create_task(self._close()))
        return usage

    async def finish(self, usage: Usage) -> None:
        """Tell the client the end of it."""
        if self._state == State.DONE and self._asked.stream:
            closing = self._answer.closing(self._finish_reason)
            await self._exchange.end(closing + self._answer.usage_event(usage) + DONE)
        elif self._state == State.DONE:
            delivered = self._delivered
            body = self._answer.whole(delivered.text(), delivered.thought(), self._finish_reason, usage)
            await self._exchange.answer(200, body, [(b"x-tokenspot-micro-st", str(usage.micro_st).encode())])
        elif self._exchange.started:
            raise EngineFailed("The engine broke off. What was delivered is counted.")

    async def _pump(self) -> None:
        opened = self._opened
        named = gateways.Named(opened.request_id, opened.allocation_id, opened.line.card_digest)
        stream = gateways.complete(
            _process.http(), opened.deployment, self._asked, key=opened.engine_key, max_tokens=opened.max_tokens,
            named=named,
        )  # fmt: skip
        async with asyncio.timeout(_REQUEST_SECONDS), contextlib.aclosing(stream):
            async for piece in stream:
                if piece.text or piece.thought:
                    await self._pass_on(piece)
                self._cached = piece.cached_tokens or self._cached
                self._finish_reason = piece.finish_reason or self._finish_reason
                if self._delivered.rogue:
                    self._finish_reason = "length"
                    break
            if self._asked.stream:
                await self._start()  # an answer without a word is an answer

    async def _pass_on(self, piece: Piece) -> None:
        arrived = time.monotonic()
        self._last_after = arrived - self._began - self._blocked
        if self._first_after is None:
            self._first_after = self._last_after
        if self._asked.stream:
            await self._start()
            await self._exchange.write(self._answer.event(piece))
            self._blocked += time.monotonic() - arrived
        self._delivered.add(piece.text, piece.thought)

    async def _start(self) -> None:
        if not self._exchange.started:
            await self._exchange.start_events()
            await self._exchange.write(self._answer.opening())

    def _judge(self, ended: BaseException | None) -> State:
        """What the attempt came to. An answer in one piece is delivered whole or not at all."""
        if ended is None:
            return State.DONE
        if isinstance(ended, EngineError | TimeoutError):
            reason = ended.reason if isinstance(ended, EngineError) else "too_slow"
            log.warning("dispatch.engine_failed", **self._names(), reason=reason)
            self.is_sellers_fault = reason not in _REQUESTS_FAULT
        elif not isinstance(ended, asyncio.CancelledError | OSError):
            log.error("dispatch.relay_failed", **self._names(), error=type(ended).__name__)
        return State.CUT if self._asked.stream and not self._delivered.nothing else State.FAILED

    async def _close(self) -> Usage:
        """Close in the pool; the database may be away for a moment, and the count must not be lost for it."""
        for pause in (*_CLOSE_RETRIES, None):
            try:
                return await _in_pool(self._close_now)
            except _UNAVAILABLE:
                if pause is None:
                    log.error("dispatch.not_counted", **self._names(), tokens=self._delivered.tokens())
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _close_now(self) -> Usage:
        opened = self._opened
        now = clock.now()
        failed = self._state == State.FAILED
        first, last = (
            None if after is None else opened.opened_at + timedelta(seconds=after)
            for after in (self._first_after, self._last_after)
        )
        outcome = Outcome(
            state=self._state,
            completion_tokens=0 if failed else self._delivered.tokens(),
            cached_tokens=self._cached,
            finish_reason=self._finish_reason or ("error" if failed else "cut"),
            first_token_at=first,
            last_token_at=last,
            finished_at=now,
            client_left=self._client_left,
        )
        return services.close_request(opened, outcome, now=now)

    def _names(self) -> dict[str, str]:
        opened = self._opened
        return {"request_id": opened.request_id, "log_id": str(opened.log_id), "deployment": str(opened.deployment.id)}


async def _refuse(exchange: Exchange, error: DomainError) -> None:
    """Say why, as an answer of its own, or within the stream that has begun."""
    body = refusal(error)
    if exchange.started:
        await exchange.end(b"data: " + body + b"\n\n")
        return
    headers = [(b"x-should-retry", b"true" if error.retryable else b"false")]  # OpenAI's clients go by it
    if error.status == Busy.status:
        headers.append((b"retry-after", b"2"))
    if isinstance(error, TooFast):
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    await exchange.answer(error.status, body, headers)


async def _in_pool(work: Callable[..., _T], *arguments: Any) -> _T:
    return await asyncio.get_running_loop().run_in_executor(_pool, _with_connection, work, arguments)


def _with_connection(work: Callable[..., _T], arguments: tuple[Any, ...]) -> _T:
    close_old_connections()
    try:
        return work(*arguments)
    finally:
        close_old_connections()
