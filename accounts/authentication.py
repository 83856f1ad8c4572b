"""Who sends a request: an API key, or a signed-in member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from accounts.kernel.actor import Actor
from accounts.selectors import actors, clock
from accounts.services import keys


def actor_from_headers(headers: Mapping[str, str]) -> Actor | None:
    """The actor of an `Authorization: Bearer` header; names of headers are in lower case. None: no valid key."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    now = clock.now()
    actor = actors.for_key(secret.strip(), now=now)
    if actor is not None and actor.key_id is not None:
        keys.note_use(actor.key_id, now=now)
    return actor


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer tsk_…`; `request.auth` is the actor."""

    def authenticate(self, request: Request) -> tuple[None, Actor] | None:
        """Leave requests without the header to the session.

        :raises AuthenticationFailed: a header, but no valid key in it.
        """
        header = request.headers.get("Authorization")
        if header is None:
            return None
        actor = actor_from_headers({"authorization": header})
        if actor is None:
            raise exceptions.AuthenticationFailed("This API key is not valid here.")
        return None, actor

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return 'Bearer realm="tokenspot"'


class SessionActorAuthentication(authentication.SessionAuthentication):
    """A member's session, with Django's CSRF check on every write."""

    def authenticate(self, request: Request) -> tuple[Any, Actor] | None:
        """Give the actor that the middleware found."""
        found = super().authenticate(request)
        actor = getattr(request._request, "actor", None)
        return (found[0], actor) if found and actor else None

    def authenticate_header(self, request: Request) -> str:
        """The same challenge as for keys, so that a missing sign-in is 401 and not 403."""
        return 'Bearer realm="tokenspot"'


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """API keys in the OpenAPI document."""

    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "tsk_…"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Sessions of the pages in the OpenAPI document."""

    target_class = "accounts.authentication.SessionActorAuthentication"
    name = "Session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Django's cookie."""
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
