"""The WebSockets of the market, for the site's ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host

from market.api import reading, serializers
from market.consumers import feed, orders
from market.consumers.sockets import Receive, Scope, Send
from market.selectors import OrderView

# Where Django answers while DEBUG is on and no host is named.
_LOCAL = [".localhost", "127.0.0.1", "[::1]"]


def _order(view: OrderView) -> dict[str, Any]:
    """An order as REST gives it."""
    return dict(reading.plain(serializers.order(view)))


SOCKETS: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
    "/ws/v1/market": feed.application,
    "/ws/v1/orders": orders.application(_order),
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse unknown addresses and pages of other sites before the handshake (403); answer the rest."""
    socket = SOCKETS.get(scope["path"])
    if socket is None or not _is_own(scope):
        await receive()
        await send({"type": "websocket.close"})
    else:
        await socket(scope, receive, send)


def _is_own(scope: Scope) -> bool:
    """Whether a page of this site asks, or a program: browsers always say the origin, and programs have no cookies."""
    origins = [value for name, value in scope["headers"] if name.lower() == b"origin"]
    if not origins:
        return True
    try:
        host = urlsplit(origins[0].decode("ascii")).hostname
    except ValueError:
        return False
    allowed = settings.ALLOWED_HOSTS or (_LOCAL if settings.DEBUG else [])
    return bool(host) and validate_host(f"[{host}]" if host and ":" in host else host or "", allowed)
