"""`POST /api/v1/events`, answered before Django: CloudEvents under a bearer key, 204 once committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from django.db import OperationalError, close_old_connections

from accounts.authentication import actor_from_headers
from accounts.http.problems import problem_bytes
from accounts.kernel.actor import Actor
from accounts.selectors import clock
from metering_ingest import services
from metering_ingest.kernel.events import MalformedEvent, UnsupportedContentType

log = structlog.get_logger(__name__)
# A bounded pool with its own connections: a flood of batches waits here and cannot starve the pages.
_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="ingest")
_WAITING_MOST = 64
_READ_SECONDS = 15
_waiting = 0


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body, ingest it in the pool, answer after the commit."""
    global _waiting  # noqa: PLW0603  (one event loop, one counter)
    request_id = scope.get("request_id", "")
    if scope["method"] != "POST":
        await _problem(send, 405, "method_not_allowed", "Send events by POST.", request_id)
        return
    if _waiting >= _WAITING_MOST:
        await _problem(send, 503, "busy", "Too many batches are waiting.", request_id, retry_after=2)
        return
    try:
        body = await asyncio.wait_for(_body(receive), _READ_SECONDS)
    except (TimeoutError, ConnectionError):
        await _problem(send, 408, "body_too_slow", "The body did not arrive in time.", request_id)
        return
    headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
    _waiting += 1
    try:
        answer = await asyncio.get_running_loop().run_in_executor(_pool, _answer, body, headers, request_id)
    finally:
        _waiting -= 1
    await answer(send)


async def _body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _answer(body: bytes, headers: dict[str, str], request_id: str) -> Callable[[Any], Any]:
    """Do the work in a thread; gives what to send."""
    close_old_connections()
    try:
        sender = actor_from_headers(headers)
        if sender is None:
            return _refusal(401, "unauthorized", "A valid API key is needed.", request_id)
        if not sender.can("usage:write"):
            return _refusal(403, "scope_missing", "This key lacks the scope usage:write.", request_id)
        return _ingest(body, headers, sender, request_id)
    except OperationalError:
        log.warning("metering.ingest.database_unavailable", request_id=request_id)
        return _refusal(
            503, "busy", "The database did not answer; send the same batch again.", request_id, retry_after=2
        )
    except Exception:
        log.exception("metering.ingest.failed", request_id=request_id)
        return _refusal(500, "internal_error", "Something went wrong here; send the same batch again.", request_id)
    finally:
        close_old_connections()


def _ingest(body: bytes, headers: dict[str, str], sender: Actor, request_id: str) -> Callable[[Any], Any]:
    content_type = headers.get("content-type", "")
    try:
        result = services.ingest(body, content_type=content_type, headers=headers, sender=sender, now=clock.now())
    except UnsupportedContentType:
        return _refusal(
            415, "unsupported_content_type",
            "Send application/cloudevents+json, application/cloudevents-batch+json, or a binary CloudEvent.", request_id,
        )  # fmt: skip
    except MalformedEvent as error:
        errors = [{"index": error.index, "field": error.field, "message": str(error), "code": "malformed"}]
        return _refusal(400, "malformed_event", f"Event {error.index}: {error}", request_id, errors=errors)
    log.info(
        "metering.ingested", accepted=result.accepted, replayed=result.replayed,
        conflicts=len(result.conflicts), quarantined=len(result.quarantined), tenant=str(sender.organisation_id),
    )  # fmt: skip
    return _no_content


async def _no_content(send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _refusal(
    status: int, code: str, detail: str, request_id: str, *, errors: list[dict[str, Any]] | None = None,
    retry_after: int | None = None,
) -> Callable[[Any], Any]:  # fmt: skip
    async def answer(send: Any) -> None:
        await _problem(send, status, code, detail, request_id, errors=errors, retry_after=retry_after)

    return answer


async def _problem(
    send: Any, status: int, code: str, detail: str, request_id: str, *, errors: list[dict[str, Any]] | None = None,
    retry_after: int | None = None,
) -> None:  # fmt: skip
    body = problem_bytes(status, code, detail, request_id=request_id, errors=errors, retryable=retry_after is not None)
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
