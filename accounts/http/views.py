"""The base of every REST view."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.http.problems import MEDIA_TYPE
from accounts.kernel.actor import Actor
from accounts.services import idempotency

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class KeyMissing(exceptions.APIException):
    """A request that moves money or makes something needs an Idempotency-Key."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "idempotency_key_missing"
    default_detail = "Send an Idempotency-Key header: 1 to 255 printable ASCII characters."


class ApiView(APIView):
    """Has an actor, scopes by method, and problem documents for errors."""

    # By method; None: whoever has a key or a sign-in.
    required_scopes: Mapping[str, str | None] = {}
    actor: Actor

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, then name the actor."""
        super().initial(request, *args, **kwargs)
        if isinstance(request.auth, Actor):
            self.actor = request.actor = request.auth  # type: ignore[attr-defined]

    def handle_exception(self, exc: Exception) -> Response:
        """Keep the challenge of a 401 through our own handler."""
        if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
            exc.auth_header = self.get_authenticate_header(self.request)  # type: ignore[union-attr]
        response = self.settings.EXCEPTION_HANDLER(exc, self.get_exception_handler_context())
        response.exception = True
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Problems keep their own media type through the JSON renderer."""
        final = super().finalize_response(request, response, *args, **kwargs)
        if getattr(final, "exception", False):
            final["Content-Type"] = MEDIA_TYPE
            final.content_type = MEDIA_TYPE
        return final

    def idempotency_key(self, request: Request, required: bool = True) -> str:
        """The request's key; empty where there is none and none is required.

        :raises KeyMissing: missing where it is required, or not printable ASCII.
        """
        key = request.headers.get("Idempotency-Key")
        if key is None and not required:
            return ""
        if key is None or not _KEY.fullmatch(key):
            raise KeyMissing
        return key

    def once(
        self,
        request: Request,
        *,
        operation: str,
        payload: dict[str, Any],
        now: datetime,
        effect: Callable[[], dict[str, Any]],
    ) -> idempotency.Once:
        """Run the effect once for the request's Idempotency-Key; a repeat's answer says that it is one."""
        once = idempotency.once_durable(
            organisation_id=self.actor.organisation_id,
            key=self.idempotency_key(request),
            operation=operation,
            payload=payload,
            now=now,
            effect=effect,
        )
        if once.replayed:
            self.headers["Idempotency-Replayed"] = "true"
        return once
