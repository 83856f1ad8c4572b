"""The base of every page that belongs to an organisation."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views import View

from accounts.http.problems import RETRY_AFTER
from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError

# The session's entry for a person who is in several organisations.
ACTIVE_ORGANISATION = "active_organisation"


class ActorPage(View):
    """Asks for sign-in, then for the page's `scope`; `self.actor` is who looks."""

    scope: str | None = None
    actor: Actor

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Sign-in first, then the right, then the page."""
        if not request.user.is_authenticated:
            return _sign_in(request)
        actor = getattr(request, "actor", None)
        if actor is None:
            return self.forbidden(request, _("Your sign-in belongs to no organisation yet. Ask its owner to add you."))
        self.actor = actor
        if self.scope and not actor.can(self.scope):
            return self.forbidden(
                request, _("Your role does not allow this. An owner of your organisation can grant it.")
            )
        return super().dispatch(request, *args, **kwargs)

    def forbidden(self, request: HttpRequest, reason: str) -> HttpResponse:
        """The page that says what is missing and who can give it."""
        return render(request, "403.html", {"detail": reason}, status=403)


def _sign_in(request: HttpRequest) -> HttpResponse:
    """To the sign-in page; where a fragment was asked for, the page around it goes there."""
    if request.headers.get("HX-Request") != "true":
        return redirect_to_login(request.get_full_path())
    around = urlsplit(request.headers.get("HX-Current-URL", "/"))
    there = around.path + (f"?{around.query}" if around.query else "")
    return HttpResponse(status=204, headers={"HX-Redirect": redirect_to_login(there or "/")["Location"]})


def refusal_page(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The page for a refusal that no view turned into one; None for what is not a refusal but a fault."""
    if isinstance(error, OperationalError):
        response = render(request, "errors/503.html", status=503)
        response["Retry-After"] = RETRY_AFTER
        return response
    if not isinstance(error, DomainError):
        return None
    template = {403: "403.html", 404: "404.html", 503: "errors/503.html"}.get(error.status, "400.html")
    return render(request, template, status=error.status)


def not_found_page(request: HttpRequest) -> HttpResponse:
    """One page for what does not exist and for what is another organisation's."""
    return render(request, "404.html", status=404)
