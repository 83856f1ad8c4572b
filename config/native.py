"""What every natively answered path gets: a known host, a bounded body and a request id."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from market.services import failpoints

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def guarded(application: Application, *, max_body: int = 8 * 1024 * 1024) -> Application:
    """Refuse unknown hosts and oversized bodies, and put `X-Request-Id` on every answer."""

    async def wrapper(scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = {key.lower(): value for key, value in scope["headers"]}
        request_id = uuid.uuid4().hex
        scope["request_id"] = request_id

        async def send_with_id(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                failpoints.reached("native.before_answer")  # what it says is committed
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() != b"x-request-id"]
                message["headers"] = [*kept, (b"x-request-id", request_id.encode())]
            await send(message)

        domain, _ = split_domain_port(headers.get(b"host", b"").decode("latin-1"))
        length = headers.get(b"content-length", b"0")
        if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
            await _refuse(send_with_id, 400, "unknown_host", "This host name is not served here.", request_id)
        elif not length.isdigit() or int(length) > max_body:
            await _refuse(send_with_id, 413, "body_too_large", f"The body is larger than {max_body} bytes.", request_id)
        else:
            await application(scope, _bounded(receive, max_body), send_with_id)

    return wrapper


def _bounded(receive: Any, max_body: int) -> Any:
    """A chunked body has no length; it is cut off as a disconnect once it passes the bound."""
    seen = 0

    async def bounded() -> dict[str, Any]:
        nonlocal seen
        message: dict[str, Any] = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > max_body else message

    return bounded


async def _refuse(send: Any, status: int, code: str, detail: str, request_id: str) -> None:
    body = json.dumps(
        {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail,
         "retryable": False, "request_id": request_id}
    ).encode()  # fmt: skip
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
