"""Pages of the provider: offers and hardware."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from market import selectors as market
from providers import selectors, services
from providers.kernel.errors import NotFound
from providers.web import figures, forms, rating_figures

_CHANGED = 422


class ProviderPage(ActorPage):
    """A page for members of a provider."""

    scope = "offers:read"

    def context(self, **more: Any) -> dict[str, Any]:
        """What every page of the provider needs."""
        return {"may_write": self.actor.is_provider and self.actor.can("offers:write"), **more}


class Offers(ProviderPage):
    """All offers with their sold share."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The list, newest first; withdrawn ones on demand."""
        everything = selectors.plans_of(self.actor, now=clock.now())
        withdrawn = request.GET.get("withdrawn") == "1"
        shown = [plan for plan in everything if withdrawn or plan.state != "withdrawn"]
        context = self.context(
            offers=[figures.offer(plan) for plan in shown],
            hidden=len(everything) - len(shown),
            has_deployment=bool(selectors.deployments_of(self.actor, active_only=True)),
        )
        return render(request, "providers/offers.html", context)


class OfferPage(ProviderPage):
    """One offer, window by window."""

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Posted windows with limit, quantity and what was sold."""
        try:
            plan = selectors.plan(ids.decode("off", public_id), self.actor, now=clock.now())
        except (ids.BadId, NotFound):
            return not_found_page(request)
        return render(
            request, "providers/offer.html", self.context(offer=figures.offer(plan), posted=plan.posted[::-1])
        )


class OfferAction(ProviderPage):
    """Post, pause or withdraw an offer."""

    scope = "offers:write"
    action = ""

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Do it and go back to where it was asked for."""
        try:
            change = getattr(services.offers, self.action)
            count = change(ids.decode("off", public_id), actor=self.actor, now=clock.now())
        except (ids.BadId, NotFound):
            return not_found_page(request)
        except DomainError:
            messages.error(request, _("This is not possible any more; look at the offer's state."))
        else:
            messages.success(request, _said(self.action, count))
        return redirect("providers:offer", public_id=public_id)


class NewOffer(ProviderPage):
    """The offer form."""

    scope = "offers:write"

    def get(self, request: HttpRequest) -> HttpResponse:
        """An empty form, or a note on what is needed first."""
        return self._show(request, self._form(request, None))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Save as a draft, or save and post; or only preview, for browsers without scripts."""
        now = clock.now()
        form = self._form(request, request.POST)
        if request.POST.get("action") == "preview":
            shown = self._look(request, form)
            return self._show(request, form, status=200 if shown else _CHANGED, **shown)
        if form.is_valid():
            try:
                plan_id = services.offers.create(form.draft(), actor=self.actor, now=now)
            except DomainError as error:
                form.refuse(error)
            else:
                if request.POST.get("action") == "post":
                    count = services.offers.post(plan_id, actor=self.actor, now=now)
                    messages.success(request, _said("post", count))
                return redirect("providers:offer", public_id=ids.encode("off", plan_id))
        return self._show(request, form, status=_CHANGED)

    def _form(self, request: HttpRequest, data: Any) -> forms.OfferForm:
        deployments = selectors.deployments_of(self.actor, active_only=True)
        asked = request.GET.get("deployment")
        return forms.OfferForm(
            data, deployments=deployments, windows=market.open_windows(clock.now()),
            initial={"deployment": asked} if asked else None,
        )  # fmt: skip

    def _look(self, request: HttpRequest, form: forms.OfferForm) -> dict[str, Any]:
        """What the offer would meet; empty where the form is not complete."""
        if not form.is_valid():
            return {}
        draft, over = form.draft(), request.POST.get("over", "")
        try:
            return figures.outlook(draft, services.outlook.look(draft, over=over, actor=self.actor, now=clock.now()))
        except DomainError as error:
            form.refuse(error)
            return {}

    def _show(self, request: HttpRequest, form: forms.OfferForm, status: int = 200, **more: Any) -> HttpResponse:
        context = self.context(form=form, has_deployment=form.has_deployment, **more)
        return render(request, "providers/offer_form.html", context, status=status)


class OfferPreview(NewOffer):
    """The preview beside the form."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """What the offer would post in the windows that are open now; nothing is written."""
        form = self._form(request, request.POST)
        shown = self._look(request, form)
        return render(request, "providers/offer_preview.html", {"form": form, **shown})


class Hardware(ProviderPage):
    """Pools and what they serve."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Each pool with its deployments."""
        return render(
            request, "providers/hardware.html", self.context(pools=figures.pools(self.actor, now=clock.now()))
        )


class RatingPage(ProviderPage):
    """The rating of one deployment, and those before it."""

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """How it stands, how to rate it again, and what was run."""
        now = clock.now()
        try:
            view = selectors.deployment_of(ids.decode("dep", public_id), self.actor)
        except (ids.BadId, NotFound):
            return not_found_page(request)
        shown = figures.deployment(view, selectors.standings([view], now=now)[view.id])
        found = selectors.ratings_of(view.id, self.actor, now=now)
        history = [rating_figures.history(each) for each in found]
        context = self.context(one=shown, standing=shown["standing"], history=history)
        return render(request, "providers/rating.html", context)


class NewPool(ProviderPage):
    """The pool form."""

    scope = "offers:write"

    def get(self, request: HttpRequest) -> HttpResponse:
        """An empty form."""
        return self._show(request, forms.PoolForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Register it."""
        form = forms.PoolForm(request.POST)
        if form.is_valid():
            try:
                services.pools.add(form.draft(), actor=self.actor, now=clock.now())
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(request, _("The pool is registered. Add what it serves."))
                return redirect("providers:hardware")
        return self._show(request, form, status=_CHANGED)

    def _show(self, request: HttpRequest, form: forms.PoolForm, status: int = 200) -> HttpResponse:
        return render(request, "providers/pool_form.html", self.context(form=form), status=status)


class NewDeployment(ProviderPage):
    """The deployment form."""

    scope = "offers:write"

    def get(self, request: HttpRequest) -> HttpResponse:
        """An empty form."""
        return self._show(request, self._form(request, None))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Register it."""
        form = self._form(request, request.POST)
        if form.is_valid():
            try:
                services.deployments.add(form.draft(), actor=self.actor, now=clock.now())
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(request, _("The deployment is registered. Offer its hours."))
                return redirect("providers:hardware")
        return self._show(request, form, status=_CHANGED)

    def _form(self, request: HttpRequest, data: Any) -> forms.DeploymentForm:
        asked = request.GET.get("pool")
        return forms.DeploymentForm(
            data, pools=selectors.pools_of(self.actor), lines=market.lines(self.actor.organisation_id),
            initial={"pool": asked} if asked else None,
        )  # fmt: skip

    def _show(self, request: HttpRequest, form: forms.DeploymentForm, status: int = 200) -> HttpResponse:
        return render(request, "providers/deployment_form.html", self.context(form=form), status=status)


class RetireDeployment(ProviderPage):
    """Take a deployment out of use."""

    scope = "offers:write"

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Withdraw its offers and retire it."""
        try:
            deployment_id: UUID = ids.decode("dep", public_id)
            services.deployments.retire(deployment_id, actor=self.actor, now=clock.now())
        except (ids.BadId, NotFound):
            return not_found_page(request)
        messages.success(request, _("The deployment is retired. What was sold is still delivered."))
        return redirect("providers:hardware")


def _said(action: str, count: int) -> str:
    """The receipt of an action, with how many windows it touched."""
    if action == "post":
        text = ngettext("The offer is live: %(n)d window posted.", "The offer is live: %(n)d windows posted.", count)
    elif action == "pause":
        text = ngettext("Paused: %(n)d open window taken back.", "Paused: %(n)d open windows taken back.", count)
    else:
        text = ngettext("Withdrawn: %(n)d open window taken back.", "Withdrawn: %(n)d open windows taken back.", count)
    return text % {"n": count}
