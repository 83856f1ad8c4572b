"""The WebSockets of the market, for the site's ASGI application."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlparse

from channels.routing import URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path, re_path

from market.api import order_serializers, reading
from market.consumers import feed, orders
from market.selectors import OrderView

# Where Django answers while DEBUG is on and no host is named.
_LOCAL = [".localhost", "127.0.0.1", "[::1]"]


def _order(view: OrderView) -> dict[str, Any]:
    """An order as REST gives it."""
    return dict(reading.plain(order_serializers.order(view)))


async def refuse(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """End it before the handshake, which is a 403."""
    await receive()
    await send({"type": "websocket.close"})


class OwnPages(OriginValidator):  # type: ignore[misc]  # the library has no types
    """Refuses pages of other sites. A program says no origin, and has no cookies that could be misused."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        """As the library does, but that it is no fault when an origin is no address, and that refusing asks no database."""
        try:
            origins = [value.decode("ascii") for name, value in scope["headers"] if name.lower() == b"origin"]
            own = self.valid_origin(urlparse(origins[0]) if origins else None)
        except ValueError:
            own = False
        return await (self.application if own else refuse)(scope, receive, send)

    def valid_origin(self, parsed_origin: Any) -> bool:
        """Whether a page of this site asks, or a program."""
        hosts = list(settings.ALLOWED_HOSTS) or (_LOCAL if settings.DEBUG else [])
        self.allowed_origins = [host.strip("[]") for host in hosts]
        return parsed_origin is None or self.validate_origin(parsed_origin)


# Refused before the handshake (403): unknown addresses, and pages of other sites.
application = OwnPages(
    URLRouter(
        [
            path("ws/v1/market", cast(Any, feed.application)),
            path("ws/v1/orders", cast(Any, orders.application(_order))),
            re_path("", cast(Any, refuse)),
        ]
    ),
    [],
)
