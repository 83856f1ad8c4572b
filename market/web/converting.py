"""The table of rates, the converter, and rates out of requests metered both ways."""

from __future__ import annotations

import json
from datetime import date
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views import View

from accounts.http.web import ActorPage
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from market import selectors
from market.services import converting
from market.web import vendors
from token_standard import catalogue, exchange, list_prices
from token_standard.exchange import Rate
from token_standard.figures import significant

REFUSED = 422
_INPUT = {"class": "input", "autocomplete": "off"}
_ISO = "%Y-%m-%d"  # the only spelling that a date field of a browser takes, whatever the language
_TOKEN = r"\A[A-Za-z0-9][A-Za-z0-9._:@/-]{0,119}\Z"  # noqa: S105 - a name of tokens, no secret
_LARGEST = 512 * 1024


class ConvertForm(forms.Form):
    """An amount, two tokens, and the day of the rates."""

    amount = forms.RegexField(
        r"\A[0-9]{1,30}(\.[0-9]{1,12})?\Z", label=gettext_lazy("Amount"), max_length=43, initial="1000000",
        widget=forms.TextInput(attrs={**_INPUT, "inputmode": "decimal"}),
        error_messages={"invalid": gettext_lazy("A number of tokens, such as 1000000 or 0.5.")},
    )  # fmt: skip
    source = forms.RegexField(
        _TOKEN, label=gettext_lazy("From"), initial="deepseek/deepseek-v3/output",
        widget=forms.TextInput(attrs={**_INPUT, "list": "known-tokens"}),
        error_messages={"invalid": gettext_lazy("A token, such as ST or deepseek/deepseek-v3/output.")},
    )  # fmt: skip
    target = forms.RegexField(
        _TOKEN, label=gettext_lazy("To"), initial="ST", widget=forms.TextInput(attrs={**_INPUT, "list": "known-tokens"}),
        error_messages={"invalid": gettext_lazy("A token, such as ST or deepseek/deepseek-v3/output.")},
    )  # fmt: skip
    on = forms.DateField(
        label=gettext_lazy("Rates of"),
        required=False,
        widget=forms.DateInput(format=_ISO, attrs={**_INPUT, "type": "date"}),
    )


class FitForm(forms.Form):
    """Pairs, and what the rate shall be called."""

    token = forms.RegexField(
        _TOKEN, label=gettext_lazy("Name of the vendor's token"), widget=forms.TextInput(attrs=_INPUT),
        error_messages={"invalid": gettext_lazy("Letters, digits and . _ - / only, such as vendor/model/output.")},
    )  # fmt: skip
    card = forms.ChoiceField(label=gettext_lazy("Card"), widget=forms.Select(attrs={"class": "input"}))
    source = forms.CharField(
        label=gettext_lazy("Where the pairs come from"), max_length=300, widget=forms.TextInput(attrs=_INPUT)
    )
    valid_from = forms.DateField(
        label=gettext_lazy("Valid from"), widget=forms.DateInput(format=_ISO, attrs={**_INPUT, "type": "date"})
    )
    seed = forms.IntegerField(
        label=gettext_lazy("Seed"), min_value=0, max_value=2**63 - 1, initial=1,
        widget=forms.NumberInput(attrs={"class": "input"}),
    )  # fmt: skip
    pairs = forms.FileField(
        label=gettext_lazy("Pairs"),
        help_text=gettext_lazy(
            "CSV with the columns uncached, cached, generated, vendor_tokens: 30 to 5,000 requests, 512 KiB. "
            "It is not kept."
        ),
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fields["card"].choices = [
            (f"{model.name}/{form}", f"{model.title} {form}") for model in catalogue.models() for form in model.cards
        ]


class Convert(View):
    """The table and the converter, open to everybody."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The amount asked for in the address, and the table."""
        given = request.GET if "amount" in request.GET else None
        form = ConvertForm(given)
        context: dict[str, Any] = {"form": form}
        if given is not None and form.is_valid():
            asked = form.cleaned_data
            try:
                found = converting.convert(
                    Fraction(asked["amount"]), asked["source"], asked["target"], day=asked["on"] or _today()
                )
                context["found"] = _converted(found)
            except DomainError as error:
                field = {"from": "source", "to": "target"}.get(error.details.get("field", ""), "amount")
                form.add_error(field, _sentence(error))
        return _page(request, context, status=REFUSED if form.errors else 200)


class FitRate(ActorPage):
    """A rate of a member's own pairs."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form has no page of its own."""
        return _page(request, {"form": ConvertForm(), "fit": FitForm()})

    def post(self, request: HttpRequest) -> HttpResponse:
        """The rate, or what is wrong with the pairs."""
        form = FitForm(request.POST, request.FILES)
        context: dict[str, Any] = {"form": ConvertForm(), "fit": form}
        if form.is_valid():
            asked = form.cleaned_data
            sent = asked["pairs"]
            try:
                if sent.size > _LARGEST:
                    form.add_error("pairs", _("The file is larger than 512 KiB. Send fewer requests."))
                else:
                    given = converting.read_pairs(sent.read(), PurePath(sent.name).name)
                    context["fitted"] = _fitted(
                        converting.fit(
                            given, token=asked["token"], card=asked["card"], seed=asked["seed"],
                            source=asked["source"], valid_from=asked["valid_from"],
                        )
                    )  # fmt: skip
            except DomainError as error:
                field = error.details.get("field", "")
                form.add_error(field if field in form.fields else None, _sentence(error))
        return _page(request, context, status=REFUSED if form.errors else 200)


def _page(request: HttpRequest, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    today = _today()
    rates = [_rate(one, today) for one in exchange.rates()]
    tokens = [exchange.STANDARD, *(one["token"] for one in rates)]
    tokens += [
        f"{model.name}/{form}:{kind}@2048"
        for model in catalogue.models()
        for form in model.cards
        for kind in exchange.KINDS
    ]
    context = {
        "rates": rates,
        "unknown": exchange.unknown(),
        "tokens": tokens,
        "vendor_prices": vendors.rows(list_prices.offers()),
        "claims": vendors.claims(list_prices.claims()),
        "fit": FitForm(initial={"valid_from": today}),
        **context,
    }
    return render(request, "market/convert.html", context, status=status)


def _rate(one: Rate, day: date) -> dict[str, Any]:
    return {
        "token": one.token,
        "st": significant(one.st, 4),
        "low": significant(one.low, 3),
        "high": significant(one.high, 3),
        "valid": f"{one.valid_from} –" + (f" {one.valid_until}" if one.valid_until else ""),
        "is_valid": one.valid_on(day),
        "dated": one.dated,
        "source": one.source,
    }


def _converted(found: converting.Conversion) -> dict[str, Any]:
    result = found.result
    return {
        "asked": _number(found.amount),
        "amount": _number(result.amount),
        "between": (_number(result.low), _number(result.high)) if result.low != result.high else None,
        "source": found.source.token,
        "target": found.target.token,
        "day": found.day.isoformat(),
        "rates": [
            {"token": one.token, "st": significant(one.st, 7), "source": one.source}
            for one in (found.source, found.target)
            if one.token != exchange.STANDARD
        ],
    }


def _number(value: Fraction) -> str:
    whole, dot, rest = significant(value, 7).partition(".")
    return f"{int(whole):,}{dot}{rest}".rstrip("0").rstrip(".") if dot else f"{int(whole):,}"


def _fitted(found: converting.Fitted) -> dict[str, Any]:
    return {
        "token": found.rate.token,
        "st": significant(found.rate.st, 7),
        "low": significant(found.rate.low, 5),
        "high": significant(found.rate.high, 5),
        "seed": found.seed,
        "pairs": found.pairs,
        "digest": found.digest,
        "json": json.dumps(exchange.to_json(found.rate), sort_keys=True),
    }


def _sentence(error: DomainError) -> str:
    """What to do next, in the reader's words."""
    words = {"found": str(error)}
    if error.code == "rate_unknown":
        return _(
            "This vendor publishes too little for a rate. Meter the same requests both ways and send the pairs below."
        )
    if error.code == "interval_too_wide":
        return _("The rate is not sure enough: %(found)s.") % words
    if error.details.get("field") in {"from", "to"}:
        return _("There is no such token on this day. Choose one of the table, ST, or MODEL/FORMAT:KIND@CONTEXT.")
    return _("These pairs give no rate: %(found)s. Correct them and send them again.") % words


def _today() -> date:
    return clock.now().astimezone(selectors.MARKET_CLOCK).date()
