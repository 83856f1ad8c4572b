"""Pages of agents: who they are, their one-time tokens, and what ends them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.http.web import not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from providers import selectors, services
from providers.kernel.errors import BadValue, NameTaken, NotFound
from providers.services.agents import NewToken
from providers.web.views import ProviderPage


class Agents(ProviderPage):
    """All agents of the provider."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The list, newest first, with a form for another."""
        return self.shown(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make one; its token is on this answer only."""
        if not self.actor.can("offers:write"):
            return self.forbidden(
                request, _("Your role does not allow this. An owner of your organisation can grant it.")
            )
        try:
            pool = request.POST.get("pool", "")
            pool_id = ids.decode("pol", pool) if pool else None
            new = services.agents.make(
                name=request.POST.get("name", ""), pool_id=pool_id, actor=self.actor, now=clock.now()
            )
        except (ids.BadId, NotFound):
            return self.shown(request, refusal=_("Choose one of your pools, or none."), status=422)
        except NameTaken:
            return self.shown(request, refusal=_("You have an agent of this name already."), status=422)
        except BadValue:
            return self.shown(request, refusal=_("A name has 1 to 80 characters."), status=422)
        return self.shown(request, new=new)

    def shown(
        self, request: HttpRequest, *, new: NewToken | None = None, refusal: str = "", status: int = 200
    ) -> HttpResponse:
        """The page, with a token that was just made."""
        rows = [(ids.encode("agt", view.id), view) for view in selectors.agents_of(self.actor)]
        context: dict[str, Any] = {
            "rows": rows,
            "refusal": refusal,
            "typed": request.POST if refusal else {},
            "pools": [(ids.encode("pol", pool.id), pool) for pool in selectors.pools_of(self.actor)],
            "may_see_usage": self.actor.can("usage:read"),
            "command": _command(new.token) if new else "",
        }
        answer = render(request, "providers/agents.html", self.context(**context), status=status)
        if new:
            answer["Cache-Control"] = "no-store"
        return answer


class AgentAction(Agents):
    """Another token, or parking, releasing and revoking."""

    scope = "offers:write"
    action = ""

    def get(self, request: HttpRequest, public_id: str = "") -> HttpResponse:
        """There is nothing to read here."""
        return redirect("providers:agents")

    def post(self, request: HttpRequest, public_id: str = "") -> HttpResponse:
        """Do it, and go back to the list."""
        try:
            agent_id, now = ids.decode("agt", public_id), clock.now()
            if self.action == "new_token":
                return self.shown(request, new=services.agents.new_token(agent_id, actor=self.actor, now=now))
            if self.action == "park":
                reason = request.POST.get("reason", "")
                services.agents.park(agent_id, reason=reason, actor=self.actor, now=now)
            else:
                getattr(services.agents, self.action)(agent_id, actor=self.actor, now=now)
        except (ids.BadId, NotFound):
            return not_found_page(request)
        except BadValue:
            messages.error(request, _("Say why, in 1 to 200 characters."))
        except DomainError:
            messages.error(request, _("This is not possible any more; look at the agent's state."))
        return redirect("providers:agents")


def _command(token: str) -> str:
    """What registers an agent's key, to be run where the agent is."""
    return f"tokenspot agent register --url {settings.SITE_URL.rstrip('/')} --token {token}"
