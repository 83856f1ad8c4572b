"""The one ASGI application of a web process.

Answered natively: WebSockets, the OpenAI-compatible gateway `/v1`, and the
bulk metering path. Everything else is Django's WSGI application in threads,
which is several times faster than Django's own ASGI handler.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

from config.wsgi import application as wsgi_application  # isort: skip  (sets Django up)

from a2wsgi import WSGIMiddleware
from django.conf import settings
from servestatic import ServeStaticASGI

from config.native import guarded
from dispatch.asgi import application as gateway
from market.asgi import application as market
from metering_ingest.asgi import application as metering

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_http = ServeStaticASGI(
    WSGIMiddleware(cast(Any, wsgi_application), workers=8),
    root=settings.STATIC_ROOT,
    prefix=settings.STATIC_URL,
    max_age=60 if settings.DEBUG else 3600,
)
_gateway = guarded(gateway)
_metering = guarded(metering)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Send each connection to the part that answers it."""
    if scope["type"] == "websocket":
        await market(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["path"].startswith("/v1/"):
        await _gateway(scope, receive, send)
    elif scope["path"] == "/api/v1/events" or (scope["path"] == "/api/v1/usage-records" and scope["method"] == "POST"):
        await _metering(scope, receive, send)
    else:
        await _http(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
