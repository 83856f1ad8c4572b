"""The order ticket."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from accounts.kernel import formats
from accounts.kernel.actor import Actor
from market import selectors
from market.kernel import windows
from market.kernel.money import MILLION
from market.kernel.orders import DATA_TERMS, TIERS, Choice, OrderDraft, Scope, Terms, better_grades
from market.kernel.text import micros_of
from market.selectors import CellWords
from market.services import flexible
from market.web import labels
from market.web.refusals import Refusal

_DECIMAL = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?", re.ASCII)
VALIDITIES = [
    ("gtc", gettext_lazy("Until its hour ends")),
    ("ioc", gettext_lazy("Next round only")),
    ("10", gettext_lazy("10 minutes")),
    ("60", gettext_lazy("1 hour")),
]
UNITS = [("mst", gettext_lazy("million ST")), ("yuan", gettext_lazy("CN¥ at the limit"))]


# The fields under "More choices".
CHOICES = ("or_better", "hours", "vendors", "regions", "tier", "data_terms", "all_or_nothing", "least")
HOURS = 12


@dataclass(frozen=True)
class Options:
    """What a bid for one product may choose beside it: other hours, and the words of the line's cells."""

    hours: list[windows.Window]
    words: CellWords


def options(line: str, grade: str, window_start: datetime | None, *, now: datetime) -> Options:
    """The next hours but the bid's own, and the vendors and regions that offer."""
    others = [one for one in windows.open_windows(now) if one[0] != window_start]
    return Options(others[:HOURS], selectors.cell_words(line, grade, now=now))


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

    or_better = forms.BooleanField(
        label=gettext_lazy("Better grades would do as well"),
        required=False,
        help_text=gettext_lazy("At the same limit. Each round buys where the limit lies highest above the price."),
    )
    hours = forms.MultipleChoiceField(
        label=gettext_lazy("Other hours that would do as well"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy(
            "At the same limit. Each round buys where it is cheapest, and never more than the quantity."
        ),
        error_messages={"invalid_choice": gettext_lazy("One of these hours is over. Choose again.")},
    )
    vendors = forms.MultipleChoiceField(
        label=gettext_lazy("Vendors"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None ticked: any."),
        error_messages={"invalid_choice": gettext_lazy("%(value)s is not on offer any more. Choose again.")},
    )
    regions = forms.MultipleChoiceField(
        label=gettext_lazy("Regions"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None ticked: any."),
        error_messages={"invalid_choice": gettext_lazy("%(value)s is not on offer any more. Choose again.")},
    )
    tier = forms.ChoiceField(
        label=gettext_lazy("Minimum tier"),
        required=False,
        choices=[("" if name == TIERS[0] else name, labels.TIERS[name]) for name in TIERS],
        widget=forms.Select(attrs={"class": "input"}),
    )
    data_terms = forms.ChoiceField(
        label=gettext_lazy("What happens to prompts"),
        required=False,
        choices=[("" if name == DATA_TERMS[0] else name, labels.DATA_TERMS[name]) for name in DATA_TERMS],
        widget=forms.Select(attrs={"class": "input"}),
        help_text=gettext_lazy(
            "This and everything stricter. Where nothing fits, the bid waits; it never falls back to looser terms."
        ),
    )
    all_or_nothing = forms.BooleanField(label=gettext_lazy("All or nothing in one round"), required=False)
    least = forms.CharField(
        label=gettext_lazy("At least so much in a round"),
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "decimal", "autocomplete": "off"}),
        help_text=gettext_lazy("Else nothing, and the bid waits for another round."),
    )

    def __init__(self, *args: Any, terms: Terms, options: Options, **kwargs: Any) -> None:
        kwargs["auto_id"] = "ticket_%s"
        super().__init__(*args, **kwargs)
        self.terms = terms
        self.suggest: dict[str, str] = {}
        lang = get_language() or "en"
        for name, choices in (
            ("hours", [(start.isoformat(), formats.window(start, end, lang)) for start, end in options.hours]),
            ("vendors", [(word, word) for word in options.words.vendors]),
            ("regions", [(word, word) for word in options.words.regions]),
        ):
            self.fields[name].choices = choices
        grade = self["grade"].value()
        self.better = [labels.grade(name) for name in better_grades(grade or "")]

    @property
    def has_choices(self) -> bool:
        """Whether anything is chosen or wrong under "More choices": then it is shown."""
        return any(self[name].value() or self[name].errors for name in CHOICES)

    @property
    def kept(self) -> str:
        """All that was typed, as the query of the address that shows the form again."""
        given = {name: self[name].value() for name in self.fields}
        return urlencode([(name, value) for name, value in given.items() if value not in ("", None, False)], doseq=True)

    def clean_price(self) -> int:
        """The limit in micro-yuan per million ST."""
        return micros_of(decimal_text(self.cleaned_data["price"]))

    def clean_quantity(self) -> int:
        """The number as typed, in millionths of its unit."""
        return micros_of(decimal_text(self.cleaned_data["quantity"]))

    def clean_least(self) -> int:
        """ST; 0 where nothing is typed."""
        text = self.cleaned_data["least"]
        return micros_of(decimal_text(text)) if text.strip() else 0

    def clean(self) -> dict[str, Any]:
        """Turn the quantity into ST: of a budget as many whole lots as it pays for at the limit."""
        data: dict[str, Any] = super().clean() or {}
        if data.get("least") and data.get("all_or_nothing"):
            self.add_error("least", _("Leave this empty, or take away the tick above."))
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
        choices = [
            Choice(line, start, data["price"], data["grade"])
            for start in sorted({data["window"], *map(datetime.fromisoformat, data["hours"])})
        ]
        if data["or_better"]:
            choices = flexible.or_better(choices)
        choices = [replace(one, grade="") if one.grade == data["grade"] else one for one in choices]
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
            choices=tuple(sorted(choices)) if len(choices) > 1 else (),
            scope=self._scope(data),
        )

    def _scope(self, data: dict[str, Any]) -> Scope:
        terms = data["data_terms"] or DATA_TERMS[0]
        return Scope(
            vendors=frozenset(data["vendors"]),
            regions=frozenset(data["regions"]),
            tiers=frozenset(TIERS[TIERS.index(data["tier"]) :]) if data["tier"] else frozenset(),
            minimum_st=data["quantity_st"] if data["all_or_nothing"] else data["least"],
            data_terms=frozenset(DATA_TERMS[: DATA_TERMS.index(terms) + 1]),
        )

    def refuse(self, refusal: Refusal) -> None:
        """Show a refusal beside its field."""
        field = "all_or_nothing" if refusal.field == "least" and self.data.get("all_or_nothing") else refusal.field
        self.add_error(field if field in self.fields else None, refusal.text)
        self.suggest[field] = refusal.suggest

    @property
    def asked(self) -> dict[str, int]:
        """Limit and quantity of a form that is valid so far; a quantity in yuan has no nearest lot to name."""
        data = getattr(self, "cleaned_data", {})
        quantity = data.get("quantity_st", 0) if data.get("unit") == "mst" else 0
        return {"limit_micros": data.get("price", 0), "quantity_st": quantity}


def decimal_text(text: str) -> str:
    """A number as typed, without separators.

    :raises forms.ValidationError: it is none.
    """
    plain = text.strip().replace(",", "")
    if not _DECIMAL.fullmatch(plain):
        raise forms.ValidationError(_("Write a number such as 1.80."))
    return plain
