"""The base of every page that belongs to an organisation."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views import View

from accounts.kernel.actor import Actor


class ActorPage(View):
    """Asks for sign-in, then for the page's `scope`; `self.actor` is who looks."""

    scope: str | None = None
    actor: Actor

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Sign-in first, then the right, then the page."""
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
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
        return render(request, "403.html", {"reason": reason}, status=403)


def not_found_page(request: HttpRequest) -> HttpResponse:
    """One page for what does not exist and for what is another organisation's."""
    return render(request, "404.html", status=404)
