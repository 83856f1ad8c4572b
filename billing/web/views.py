"""Pages of the top floor: home, usage, and everything about invoices."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.http.pagination import entry_number
from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from billing import selectors, services
from billing.http import USAGE_DAYS, file_response
from billing.kernel.rounding import EXACT_PER_MICRO, to_fen_half_up
from billing.web import figures, life
from billing.web.forms import TopUpForm
from billing.web.payments import balance_context, invoice_context
from market import selectors as market
from market.kernel.errors import NotFound


class Home(ActorPage):
    """What an organisation needs to see first, and its next step."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Balance, open orders, this month, and the set-up steps that are left."""
        return render(request, "billing/home.html", figures.home(self.actor, now=clock.now()))


class Usage(ActorPage):
    """Metered against billed, by hour and product."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The last 30 days' allocations with use, and the newest usage records."""
        return render(request, "billing/usage.html", figures.usage(self.actor, now=clock.now(), days=USAGE_DAYS))


class Balance(ActorPage):
    """The wallet, how to pay in, and what moved."""

    scope = "billing:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest movements first."""
        before = entry_number(request.GET.get("before", ""))
        context = figures.balance(self.actor, before=before) | balance_context(self.actor)
        return render(request, "billing/balance.html", context)


class TopUps(ActorPage):
    """Staff credit what the bank's statement shows."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form and the newest transfers."""
        return self._show(request, TopUpForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Credit a transfer; the same again changes nothing."""
        if not services.topups.may_record(self.actor):
            return self._refused(request)
        form = TopUpForm(request.POST)
        if form.is_valid():
            try:
                services.topups.record(actor=self.actor, now=clock.now(), **form.transfer())
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(request, _("The transfer is credited."))
                return redirect("billing:top_ups")
        return self._show(request, form, status=422)

    def _show(self, request: HttpRequest, form: TopUpForm, *, status: int = 200) -> HttpResponse:
        if not services.topups.may_record(self.actor):
            return self._refused(request)
        context = {"form": form, "rows": selectors.top_ups(self.actor)[:100]}
        return render(request, "billing/top_ups.html", context, status=status)

    def _refused(self, request: HttpRequest) -> HttpResponse:
        return self.forbidden(request, _("Only staff of the operator may record a bank transfer."))


class OrderLife(ActorPage):
    """What became of an order after it was matched; the order's page shows it below its own half."""

    scope = "usage:read"

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """A fragment for the order's page, else a page of its own."""
        try:
            order = market.order(ids.decode("ord", public_id), self.actor)
        except (ids.BadId, NotFound):
            return not_found_page(request)
        usage = selectors.order_usage(order.id, self.actor)
        context = {"events": life.events(usage, now=clock.now()), "public_id": public_id}
        fragment = request.headers.get("HX-Request") == "true"
        return render(request, "components/timeline.html" if fragment else "billing/order_life.html", context)


class Invoices(ActorPage):
    """All invoices, and what waits for the next one."""

    scope = "billing:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The list, newest first."""
        waiting = selectors.waiting(self.actor.organisation_id)
        context: dict[str, Any] = {
            "invoices": [figures.invoice_row(row) for row in selectors.invoices(self.actor)[:200]],
            "waiting": waiting,
            "waiting_micros": waiting.exact // EXACT_PER_MICRO,
            "may_issue": self.actor.can("billing:write"),
            "below_one_fen": to_fen_half_up(waiting.exact) == 0,
        }
        return render(request, "billing/invoices.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Issue an invoice to date."""
        try:
            invoice_id = services.invoice_to_date(actor=self.actor, now=clock.now())
        except services.NothingToInvoice:
            messages.info(
                request, _("Nothing is waiting for an invoice yet. Usage is rated a few seconds after delivery.")
            )
            return redirect("billing:invoices")
        except services.NotBillingOfficer:
            return self.forbidden(request, _("Only a finance member or the owner may issue an invoice."))
        messages.success(request, _("The invoice is issued. It will not change any more."))
        return redirect("billing:invoice", public_id=ids.encode("inv", invoice_id))


class InvoicePage(ActorPage):
    """One invoice; the same figures as its files."""

    scope = "billing:read"

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Lines, rounding, tax, payment, and what is behind each line."""
        try:
            invoice = selectors.invoice_row(ids.decode("inv", public_id), actor=self.actor)
        except (ids.BadId, selectors.NoSuchInvoice):
            return not_found_page(request)
        context = figures.invoice(invoice) | invoice_context(self.actor, invoice)
        return render(request, "billing/invoice.html", context)


class InvoiceFile(ActorPage):
    """A file of an invoice."""

    scope = "billing:read"

    def get(self, request: HttpRequest, public_id: str, kind: str) -> HttpResponse:
        """PDF in the language asked for (or the page's), or CSV."""
        language = request.GET.get("lang") or ("zh" if (get_language() or "").startswith("zh") else "en")
        try:
            document = services.invoice_file(
                ids.decode("inv", public_id), kind=kind, language=language, actor=self.actor, now=clock.now()
            )
        except (ids.BadId, selectors.NoSuchInvoice):
            return not_found_page(request)
        return file_response(document)
