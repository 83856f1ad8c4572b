"""Pages of payments: an attempt in three steps, refunds, the saved card, and staff's comparison with Stripe."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from billing import selectors, services
from billing.gateways.stripe_api import GatewayError
from billing.http import YUAN
from billing.payment_models import Payment
from billing.selectors.payments import UnknownPayment
from billing.web.payment_words import explain, reason_words, steps
from market.kernel.text import micros_of

# A person who reloads asks Stripe no more often than this.
_LOOK_AGAIN = timedelta(seconds=2)
_AMOUNT_ERROR = gettext_lazy("An amount in yuan with at most two decimals, such as 5000.00.")


def _amount(label: Any, **more: Any) -> forms.RegexField:
    return forms.RegexField(
        YUAN, label=label, max_length=13, strip=True, error_messages={"invalid": _AMOUNT_ERROR},
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "decimal", "autocomplete": "off"}), **more,
    )  # fmt: skip


class PayForm(forms.Form):
    """How much to pay in, or back."""

    amount = _amount(gettext_lazy("Amount"))


class AutomaticForm(forms.Form):
    """When to top up, by how much, and how much a month at most."""

    threshold = _amount(gettext_lazy("When less is available than"))
    amount = _amount(gettext_lazy("Top up by"))
    monthly_cap = _amount(gettext_lazy("At most in a calendar month"))


def balance_context(actor: Any) -> dict[str, Any]:
    """What the Balance page shows of payments."""
    profile = selectors.payments.payment_profile(actor.organisation_id)
    initial = {
        "threshold": _yuan(profile.threshold_micros // 10_000), "amount": _yuan(profile.amount_fen),
        "monthly_cap": _yuan(profile.monthly_cap_fen),
    }  # fmt: skip
    rows = selectors.payments.payments(actor).filter(organisation_id=actor.organisation_id)[:10]
    return {
        "takes_cards": services.payments.configured() and actor.is_buyer,
        "may_pay": actor.can("billing:write"),
        "payments": [(ids.encode("pay", row.id), row) for row in rows],
        "profile": profile,
        "paused": reason_words(profile.paused_reason) if profile.paused_reason else "",
        "pay_form": PayForm(),
        "automatic_form": AutomaticForm(initial=initial if profile.amount_fen else None),
    }


def invoice_context(actor: Any, invoice: Any) -> dict[str, Any]:
    """Whether the actor may pay this invoice here, and has a card for it."""
    due = invoice.state == invoice.State.OPEN and invoice.due_fen > 0
    may_pay = due and services.payments.configured() and actor.can("billing:write")
    may_pay = may_pay and invoice.organisation_id == actor.organisation_id
    profile = selectors.payments.payment_profile(actor.organisation_id)
    return {"may_pay": may_pay, "has_card": bool(profile.method_id)}


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _fen(text: str) -> int:
    return micros_of(text) // 10_000


class PaymentPage(ActorPage):
    """Base of pages of one payment."""

    scope = "billing:read"

    def found(self, public_id: str) -> Payment | None:
        """The payment, or None where the actor may not know of it."""
        try:
            return selectors.payments.payment(ids.decode("pay", public_id), self.actor)
        except (ids.BadId, UnknownPayment):
            return None

    def show(
        self, request: HttpRequest, row: Payment, *, form: PayForm | None = None, status: int = 200
    ) -> HttpResponse:
        """The page, or its first part for a browser that waits for the outcome."""
        may_refund = services.payments.refunds.may_refund(self.actor, row.organisation_id)
        settled = row.state == Payment.State.SETTLED and row.purpose in {"top_up", "automatic"}
        most = services.payments.refunds.most_fen(row) if settled and may_refund else 0
        context = {
            "payment": row, "public_id": ids.encode("pay", row.id), "steps": steps(row),
            "reason": reason_words(row.reason) if row.reason else "",
            "undecided": row.state in {"created", "pending", "unknown"},
            "refunds": selectors.payments.refunds_of(row.id), "most_fen": most, "most": _yuan(most),
            "form": form or PayForm(),
        }  # fmt: skip
        fragment = request.headers.get("HX-Request") == "true"
        return render(request, f"billing/payment{'_state' if fragment else ''}.html", context, status=status)


class OnePayment(PaymentPage):
    """One attempt, in three steps."""

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """What we know. Coming back from Stripe proves nothing, so then Stripe is asked."""
        row = self.found(public_id)
        if row is None:
            return not_found_page(request)
        now = clock.now()
        if (
            "back" in request.GET
            and row.state in {"created", "pending", "unknown"}
            and (row.looked_at is None or now - row.looked_at > _LOOK_AGAIN)
        ):
            services.payments.check(row.id, now=now)
            row = self.found(public_id) or row
        return self.show(request, row)


class Check(PaymentPage):
    """Ask Stripe now."""

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Retrieve, and say what is known."""
        row = self.found(public_id)
        if row is None:
            return not_found_page(request)
        services.payments.check(row.id, now=clock.now())
        return redirect("billing:payment", public_id=public_id)


class SendBack(PaymentPage):
    """A refund."""

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Hold the money, then ask Stripe to send it."""
        row = self.found(public_id)
        if row is None:
            return not_found_page(request)
        form = PayForm(request.POST)
        if form.is_valid():
            now = clock.now()
            try:
                made = services.payments.refunds.open_refund(
                    actor=self.actor, payment_id=row.id, amount_fen=_fen(form.cleaned_data["amount"]), now=now
                )
            except services.payments.errors.NotAllowed as error:
                return self.forbidden(request, explain(error))
            except DomainError as error:
                form.add_error("amount", explain(error))
            else:
                services.payments.refunds.go_on(made, now=now)
                messages.success(request, _("The refund is under way. It stands below with its state."))
                return redirect("billing:payment", public_id=public_id)
        return self.show(request, row, form=form, status=422)


class OpeningPage(ActorPage):
    """Base of pages that open an attempt and go to it."""

    scope = "billing:read"

    def opened(self, request: HttpRequest, payment_id: UUID) -> HttpResponse:
        """Make the call, then show the attempt's own page, which leads to Stripe's."""
        services.payments.attempts.go_on(payment_id, now=clock.now())
        return redirect("billing:payment", public_id=ids.encode("pay", payment_id))

    def refused(self, request: HttpRequest, error: DomainError, back: str, *arguments: str) -> HttpResponse:
        """Say why not, where the person came from."""
        if error.status == 403:
            return self.forbidden(request, explain(error))
        messages.error(request, explain(error))
        return redirect(back, *arguments)


class PayIn(OpeningPage):
    """A top-up."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Step one of three: the amount."""
        form = PayForm(request.POST)
        if not form.is_valid():
            messages.error(request, _AMOUNT_ERROR)
            return redirect("billing:balance")
        try:
            made = services.payments.attempts.open_top_up(
                actor=self.actor, amount_fen=_fen(form.cleaned_data["amount"]), now=clock.now()
            )
        except DomainError as error:
            return self.refused(request, error, "billing:balance")
        return self.opened(request, made)


class PayInvoice(OpeningPage):
    """An invoice's payment."""

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """On Stripe's page, or with the saved card."""
        try:
            invoice_id = ids.decode("inv", public_id)
            made = services.payments.attempts.open_invoice(
                actor=self.actor, invoice_id=invoice_id, saved=request.POST.get("way") == "saved", now=clock.now()
            )
        except (ids.BadId, selectors.NoSuchInvoice):
            return not_found_page(request)
        except DomainError as error:
            return self.refused(request, error, "billing:invoice", public_id)
        return self.opened(request, made)


class SaveCard(OpeningPage):
    """A card for automatic top-up."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """To Stripe's page: no card data comes here."""
        try:
            made = services.payments.attempts.open_setup(actor=self.actor, now=clock.now())
        except DomainError as error:
            return self.refused(request, error, "billing:balance")
        return self.opened(request, made)


class RemoveCard(OpeningPage):
    """The card is forgotten."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Here, and at Stripe."""
        try:
            services.payments.automatic.forget_card(actor=self.actor, now=clock.now())
        except DomainError as error:
            return self.refused(request, error, "billing:balance")
        messages.success(request, _("The card is removed, and automatic top-up is off."))
        return redirect("billing:balance")


class Automatic(OpeningPage):
    """Automatic top-up."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Switch it on with its three amounts, or off."""
        enabled = request.POST.get("do") != "off"
        form = AutomaticForm(request.POST)
        if enabled and not form.is_valid():
            messages.error(request, _AMOUNT_ERROR)
            return redirect("billing:balance")
        given = form.cleaned_data if enabled else {"threshold": "0", "amount": "0", "monthly_cap": "0"}
        try:
            services.payments.automatic.configure(
                actor=self.actor, enabled=enabled, threshold_micros=micros_of(given["threshold"]),
                amount_fen=_fen(given["amount"]), monthly_cap_fen=_fen(given["monthly_cap"]), now=clock.now(),
            )  # fmt: skip
        except DomainError as error:
            return self.refused(request, error, "billing:balance")
        messages.success(request, _("Automatic top-up is on.") if enabled else _("Automatic top-up is off."))
        return redirect("billing:balance")


class Clearing(ActorPage):
    """Stripe beside the ledger, for staff."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Totals, what differs, and webhooks that wait for a person."""
        if not self.actor.is_staff:
            return self._refused(request)
        undecided = selectors.payments.payments(self.actor).filter(state__in=["created", "pending", "unknown"])[:100]
        context = {
            "clearing": selectors.payments.clearing(), "events": selectors.payments.parked_events(),
            "undecided": [(ids.encode("pay", row.id), row) for row in undecided],
        }  # fmt: skip
        return render(request, "billing/payment_clearing.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Read Stripe's list now, or let a parked webhook try again."""
        if not self.actor.is_staff:
            return self._refused(request)
        if event_id := request.POST.get("event"):
            services.payments.webhooks.retry(event_id, now=clock.now())
            messages.success(request, _("The event is tried again."))
            return redirect("billing:clearing")
        try:
            services.payments.clearing.read(now=clock.now())
        except GatewayError:
            messages.error(request, _("Stripe does not answer. What was read before stands below."))
        else:
            messages.success(request, _("Stripe's list is read."))
        return redirect("billing:clearing")

    def _refused(self, request: HttpRequest) -> HttpResponse:
        return self.forbidden(request, _("Only staff of the operator see what Stripe and the ledger say."))
