"""The order page, with the form that changes an open bid: first a look at what it does, then the change."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from accounts.services import idempotency
from ledger import selectors as ledger
from market import selectors, services
from market.kernel import amending as kernel
from market.kernel import orders as rules
from market.kernel.errors import NotFound
from market.kernel.text import micros_of, price_text
from market.selectors import OrderView
from market.selectors.catalogue import MARKET_CLOCK
from market.services import Change, OrderDraft
from market.web import figures
from market.web.forms import decimal_text
from market.web.refusals import Refusal, explain

REFUSED = 422
_FIELDS = {"validity": "expires"}
_NUMBER = {"class": "input", "inputmode": "decimal", "autocomplete": "off"}


class AmendForm(forms.Form):
    """Limit, quantity and, of an order that is good till a time, that time.

    A field counts as changed against what the page showed, so that a change made
    elsewhere meanwhile is not undone.
    """

    price = forms.CharField(
        label=gettext_lazy("Limit"), max_length=20, show_hidden_initial=True, widget=forms.TextInput(attrs=_NUMBER)
    )
    quantity = forms.CharField(
        label=gettext_lazy("Quantity"),
        max_length=20,
        show_hidden_initial=True,
        widget=forms.TextInput(attrs=_NUMBER),
        help_text=gettext_lazy("All of it, with what is filled."),
    )
    expires = forms.CharField(
        label=gettext_lazy("Valid until (UTC+08:00)"),
        max_length=20,
        show_hidden_initial=True,
        widget=forms.TextInput(attrs={"class": "input", "type": "datetime-local", "step": "1"}),
        help_text=gettext_lazy("At most until its hour ends."),
    )

    def __init__(self, view: OrderView, data: Any = None) -> None:
        initial = {
            "price": price_text(view.limit_micros),
            "quantity": price_text(view.quantity_st),  # millionths: ST as million ST
            "expires": f"{view.expires_at.astimezone(MARKET_CLOCK):%Y-%m-%dT%H:%M:%S}",
        }
        super().__init__(data, initial=initial, auto_id="amend_%s")
        if view.time_in_force != "gtt":
            del self.fields["expires"]
        self.suggest: dict[str, str] = {}

    def clean_price(self) -> int:
        """Micro-yuan per million ST."""
        return micros_of(decimal_text(self.cleaned_data["price"]))

    def clean_quantity(self) -> int:
        """ST."""
        return micros_of(decimal_text(self.cleaned_data["quantity"]))

    def clean_expires(self) -> datetime:
        """The instant on the market clock."""
        try:
            return datetime.fromisoformat(self.cleaned_data["expires"]).replace(tzinfo=MARKET_CLOCK)
        except ValueError:
            raise forms.ValidationError(_("Write a day and a time.")) from None

    def clean(self) -> dict[str, Any]:
        """Something changes."""
        data: dict[str, Any] = super().clean() or {}
        if not self.errors and not self.changed_data:
            raise forms.ValidationError(_("Nothing is changed yet. Type another limit, quantity or time."))
        return data

    @property
    def change(self) -> Change:
        """What a valid form changes."""
        given = {name: self.cleaned_data[name] for name in self.changed_data}
        return Change(given.get("quantity"), given.get("price"), given.get("expires"))

    def hidden(self) -> SafeString:
        """All that was typed, and what it is compared with, for the second step."""
        return mark_safe(  # noqa: S308  (widgets escape their values)
            "".join(field.as_hidden() + field.as_hidden(only_initial=True) for field in self)
        )

    def refuse(self, refusal: Refusal) -> None:
        """Show a refusal beside its field."""
        field = _FIELDS.get(refusal.field, refusal.field)
        self.add_error(field if field in self.fields else None, refusal.text)
        self.suggest[field] = refusal.suggest


def may_amend(view: OrderView, actor: Actor) -> bool:
    """Whether the order's page offers the form."""
    return view.is_cancellable and view.side == "buy" and not view.is_flexible and actor.can("orders:write")


def order_page(
    request: HttpRequest, view: OrderView, actor: Actor, *, status: int = 200, **more: object
) -> HttpResponse:
    """The page of one order."""
    context = {
        **figures.order_page(view, actor),
        "may_cancel": actor.can("orders:write"),
        "amend": AmendForm(view) if may_amend(view, actor) else None,
        **more,
    }
    return render(request, "market/order.html", context, status=status)


class AmendOrder(ActorPage):
    """Change what is open of an order, in two steps."""

    scope = "orders:write"

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Show what the change does; with the key of that page, make it."""
        now = clock.now()
        try:
            view = selectors.order(ids.decode("ord", public_id), self.actor)
        except (ids.BadId, NotFound):
            return not_found_page(request)
        form = AmendForm(view, request.POST)
        key = request.POST.get("key", "")[:64]
        try:
            if key and form.is_valid():
                self._amend(view, form.change, public_id, key, now)
                messages.success(request, _("The order is changed, and its hold with it."))
                return redirect("market:order", public_id=public_id)
            if form.is_valid() and may_amend(view, self.actor):
                review = _review(view, form.change, now)
                return order_page(request, view, self.actor, amend=form, review=review, key=uuid4().hex)
        except DomainError as error:
            asked = form.change.of(view.asked)
            form.refuse(explain(error, limit_micros=asked.limit_micros, quantity_st=asked.quantity_st))
            view = selectors.order(view.id, self.actor)
        if not may_amend(view, self.actor):
            messages.error(request, _("This order cannot be changed any more."))
            return redirect("market:order", public_id=public_id)
        return order_page(request, view, self.actor, amend=form, status=REFUSED)

    def _amend(self, view: OrderView, change: Change, public_id: str, key: str, now: datetime) -> None:
        """Once for each key; a repeat of the form finds it done."""

        def effect() -> dict[str, Any]:
            services.amending.amend(view.id, change, actor=self.actor, now=now)
            return {"order": public_id}

        idempotency.once_durable(
            organisation_id=self.actor.organisation_id,
            key=f"page:{key}",
            operation="order.amend",
            payload={"order": public_id, "change": {name: str(value) for name, value in vars(change).items()}},
            now=now,
            effect=effect,
        )


def _review(view: OrderView, change: Change, now: datetime) -> dict[str, Any]:
    """What the change would do now; the service looks again when it is made.

    :raises MarketError: a rule that the change breaks already.
    """
    after = change.of(view.asked)
    draft = OrderDraft(
        view.organisation_id, "buy", view.line, view.grade, view.window_start, after.quantity_st, after.limit_micros,
        "gtt", after.expires_at,
    )  # fmt: skip
    product = selectors.product(view.product_id, view.organisation_id)
    rules.check_draft(draft, product.terms, now=now)
    kernel.check_filled(after, filled_st=view.filled_st)
    keeps_place = kernel.keeps_cohort(view.asked, after)
    if not keeps_place:
        services.orders.check_collar(draft, selectors.quote(product, now=now))
    more = kernel.hold_change(view.asked, after, filled_st=view.filled_st)
    available = ledger.wallet(view.organisation_id, view.currency).available_micros
    return {
        "after": after,
        "expires_at": rules.expires_at(draft),
        "held_micros": view.held_micros + more,
        "keeps_place": keeps_place,
        "available_micros": available,
        "short_micros": max(0, more - available),
    }
