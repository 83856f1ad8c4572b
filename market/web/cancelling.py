"""Giving up an allocation, from the page of its order: the fee is shown, then confirmed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import formats, ids
from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from market import services
from market.kernel.errors import NotFound
from market.selectors import AllocationView
from market.web.refusals import explain


def offered(view: AllocationView, actor: Actor, now: datetime) -> dict[str, Any] | None:
    """The question that the page asks, with the fee; None where nothing can be given up any more."""
    may = view.buyer_id == actor.organisation_id and actor.can("orders:write")
    if not may or view.cancelled_at or now >= view.window_start:
        return None
    found = services.cancellation.preview(view.id, actor=actor, now=now)
    words = {"fee": _amount(found.fee_micros), "released": _amount(found.released_micros)}
    return {
        "id": f"cancel-{ids.encode('alc', view.id)}",
        "text": _(
            "The seller keeps a fee of %(fee)s; %(released)s of the hold is free again at once. "
            "The tokens cannot be drawn any more."
        )
        % words,
    }


class CancelAllocation(ActorPage):
    """Give up one allocation."""

    scope = "orders:write"

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Cancel and go back to the order; a repeat changes nothing."""
        try:
            done = services.cancellation.cancel(ids.decode("alc", public_id), actor=self.actor, now=clock.now())
        except (ids.BadId, NotFound):
            return not_found_page(request)
        except DomainError as error:
            messages.error(request, explain(error).text)
            return redirect("market:orders")
        fee = {"fee": _amount(done.fee_micros)}
        messages.success(request, _("The allocation is given up for a fee of %(fee)s.") % fee)
        return redirect("market:order", public_id=ids.encode("ord", done.allocation.buy_order_id))


def _amount(micros: int) -> str:
    return formats.amount_micros(micros, get_language() or "en", exact=True)
