"""Request id, content policy, and the actor of a page."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from uuid import UUID

import structlog
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.http.problems import problem_response
from accounts.http.web import ACTIVE_ORGANISATION, refusal_page
from accounts.kernel.actor import Actor
from accounts.models import User
from accounts.selectors import actors

Handler = Callable[[HttpRequest], HttpResponse]
_POLICY = (
    "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# The API explorer and the admin bring inline styles and scripts of their own.
_LOOSER = _POLICY + "; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'"


class RequestIdMiddleware:
    """Gives each request an id, for the answer, the log and the error page."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Bind the id for as long as the request lasts."""
        request.request_id = uuid.uuid4().hex  # type: ignore[attr-defined]
        with structlog.contextvars.bound_contextvars(request_id=request.request_id):  # type: ignore[attr-defined]
            response = self.get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


class NoNulMiddleware:
    """Refuses addresses with a NUL, which no text in the database can have and every look-up would stumble over."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """400 before anything is asked."""
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            if request.path.startswith("/api/"):
                return problem_response(request, 400, "malformed", "An address has no NUL.")
            return render(request, "400.html", status=400)
        return self.get_response(request)


class ContentSecurityPolicyMiddleware:
    """Nothing runs on a page but what this site serves as a file."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set the policy on every answer."""
        response = self.get_response(request)
        looser = request.path.startswith(("/api/docs/", "/admin/"))
        response.setdefault("Content-Security-Policy", _LOOSER if looser else _POLICY)
        return response


class ActorMiddleware:
    """Finds for whom a signed-in person acts."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """`request.actor` is None before sign-in, and for a person without an organisation."""
        user = request.user
        request.actor = _actor(user, request.session) if user.is_authenticated else None  # type: ignore[attr-defined]
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A page for a refusal that a view let through; faults go on to the handler of faults."""
        return refusal_page(request, exception)


def _actor(user: User, session: SessionBase) -> Actor | None:
    """For the organisation chosen in this session while the person is in it, else for the first joined."""
    chosen = session.get(ACTIVE_ORGANISATION)
    found = actors.for_user(user, organisation_id=UUID(chosen)) if chosen else None
    return found or actors.for_user(user)
