"""The two faces of ingest, answered before Django once what they sent is committed.

`POST /api/v1/usage-records` takes usage records in JSON, `POST /api/v1/events`
CloudEvents; both from agents that sign or under a bearer key.
"""

from __future__ import annotations

import asyncio
from typing import Any

from metering_ingest.asgi.answers import Answer, problem
from metering_ingest.asgi.collector import Collector
from metering_ingest.asgi.work import Request, answer_all, answer_in_fear

_READ_SECONDS = 15
collector = Collector(answer_all, answer_in_fear)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body, wait for the commit that it shares with others, answer."""
    await _send(send, await _answer(scope, receive))


async def _answer(scope: dict[str, Any], receive: Any) -> Answer:
    request_id = scope.get("request_id", "")
    if scope["method"] != "POST":
        return problem(405, "method_not_allowed", "Send usage by POST.", request_id)
    if not collector.has_room:
        return problem(503, "busy", "Too many batches are waiting.", request_id, retry_after=2)
    body = bytearray()
    held = 0
    try:
        async with asyncio.timeout(_READ_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return problem(408, "body_too_slow", "The body did not arrive, or is too large.", request_id)
                body += message.get("body", b"")
                collector.hold(len(body) - held)
                held = len(body)
                if not message.get("more_body"):
                    break
        return await collector.submit(_request(scope, bytes(body), request_id))
    except TimeoutError:
        return problem(408, "body_too_slow", "The body did not arrive in time.", request_id)
    finally:
        collector.hold(-held)


def _request(scope: dict[str, Any], body: bytes, request_id: str) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    uri = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}{path}" + (f"?{query}" if query else "")
    return Request(scope["path"], uri, headers, body, request_id)


async def _send(send: Any, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
