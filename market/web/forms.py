"""The order ticket."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.kernel.actor import Actor
from market.kernel.money import MILLION
from market.kernel.orders import OrderDraft, Terms
from market.kernel.text import micros_of
from market.web.refusals import Refusal

_DECIMAL = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?", re.ASCII)
VALIDITIES = [
    ("gtc", gettext_lazy("Until its hour ends")),
    ("ioc", gettext_lazy("Next round only")),
    ("10", gettext_lazy("10 minutes")),
    ("60", gettext_lazy("1 hour")),
]
UNITS = [("mst", gettext_lazy("million ST")), ("yuan", gettext_lazy("CN¥ at the limit"))]


class TicketForm(forms.Form):
    """A bid: how much, at most at what price, for how long. Grade and window come from the page around it."""

    grade = forms.CharField(widget=forms.HiddenInput, max_length=12)
    window = forms.DateTimeField(widget=forms.HiddenInput)
    price = forms.CharField(
        label=gettext_lazy("Limit"),
        max_length=20,
        widget=forms.TextInput(
            attrs={"class": "input", "inputmode": "decimal", "autocomplete": "off", "data-ticket-price": ""}
        ),
    )
    quantity = forms.CharField(
        label=gettext_lazy("Quantity"),
        max_length=20,
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "decimal", "autocomplete": "off"}),
    )
    unit = forms.ChoiceField(
        label=gettext_lazy("Quantity in"), choices=UNITS, initial="mst", widget=forms.Select(attrs={"class": "input"})
    )
    validity = forms.ChoiceField(
        label=gettext_lazy("Valid"), choices=VALIDITIES, initial="gtc", widget=forms.Select(attrs={"class": "input"})
    )

    def __init__(self, *args: Any, terms: Terms, **kwargs: Any) -> None:
        kwargs["auto_id"] = "ticket_%s"
        super().__init__(*args, **kwargs)
        self.terms = terms
        self.suggest = ""

    def clean_price(self) -> int:
        """The limit in micro-yuan per million ST."""
        return micros_of(decimal_text(self.cleaned_data["price"]))

    def clean_quantity(self) -> int:
        """The number as typed, in millionths of its unit."""
        return micros_of(decimal_text(self.cleaned_data["quantity"]))

    def clean(self) -> dict[str, Any]:
        """Turn the quantity into ST: of a budget as many whole lots as it pays for at the limit."""
        data: dict[str, Any] = super().clean() or {}
        if "price" not in data or "quantity" not in data:
            return data
        if data.get("unit") == "yuan":
            lot_micros = data["price"] * self.terms.lot_st
            lots = data["quantity"] * MILLION // lot_micros if lot_micros else 0
            data["quantity_st"] = lots * self.terms.lot_st
            if not lots:
                self.add_error("quantity", _("At this limit the amount does not pay for one lot."))
        else:
            data["quantity_st"] = data["quantity"]
        return data

    def draft(self, actor: Actor, line: str, *, now: datetime) -> OrderDraft:
        """The order of a valid form."""
        data = self.cleaned_data
        validity = data["validity"]
        minutes = int(validity) if validity.isdigit() else None
        return OrderDraft(
            organisation_id=actor.organisation_id,
            side="buy",
            line=line,
            grade=data["grade"],
            window_start=data["window"],
            quantity_st=data["quantity_st"],
            limit_micros=data["price"],
            time_in_force="gtt" if minutes else validity,
            expires_at=now + timedelta(minutes=minutes) if minutes else None,
        )

    def refuse(self, refusal: Refusal) -> None:
        """Show a refusal beside its field."""
        self.add_error(refusal.field if refusal.field in self.fields else None, refusal.text)
        self.suggest = refusal.suggest


def decimal_text(text: str) -> str:
    """A number as typed, without separators.

    :raises forms.ValidationError: it is none.
    """
    plain = text.strip().replace(",", "")
    if not _DECIMAL.fullmatch(plain):
        raise forms.ValidationError(_("Write a number such as 1.80."))
    return plain
