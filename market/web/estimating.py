"""The page that says what requests will cost, before anybody sends them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views import View

from accounts.kernel import formats
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from market import selectors
from market.kernel.costs import Cost, yuan_shown
from market.services import estimating
from market.services.estimating import Costed, Requests, Subject
from market.web import figures, labels
from token_standard import catalogue, uploads
from token_standard.estimates import Interval
from token_standard.figures import significant
from token_standard.huggingface.quantised import NAMES
from token_standard.version import MICRO

REFUSED = 422
MOST_ROWS = 20
COUNTS = ("input", "cached", "output", "count")
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_GRAPHS: dict[str, uploads.GraphKind] = {".onnx": "onnx", ".mlir": "stablehlo", ".stablehlo": "stablehlo"}
_METHODS = {
    "closed form: nine in ten measured windows lie within 29 %": gettext_lazy(
        "Closed form: nine in ten measured windows lie within 29%."
    ),
    "published corrections, which must give their evidence within 30 %": gettext_lazy(
        "Published corrections, which must give their evidence within 30%."
    ),
    "routed experts without a correction, which are valued from 59 % too low to 15 % too high": gettext_lazy(
        "Routed experts without a correction, which are valued from 59% too low to 15% too high."
    ),
}


_SENTENCES = {
    "no_cache": gettext_lazy(
        "This file has no key/value cache: leave cached and output tokens at 0, or export it with one."
    ),
    "busy": gettext_lazy("Other files are being counted. Send yours again in a moment."),
    "unknown_line": gettext_lazy("There is no such model line. Choose another."),
    "suffix": gettext_lazy("The file's name must end in .json, .onnx, .mlir or .stablehlo."),
}


@dataclass
class Row:
    """One row of the mix: what was typed, and what is wrong with it by column."""

    input: str = ""
    cached: str = ""
    output: str = ""
    count: str = "1"
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed."""
        return not (self.input or self.cached or self.output)

    def cells(self) -> Iterator[tuple[str, str, str]]:
        """(name, what was typed, what is wrong) by column."""
        for name in COUNTS:
            yield name, getattr(self, name), self.errors.get(name, "")

    def requests(self) -> Requests | None:
        """The row's requests; None where it has an error, which is then noted."""
        numbers = {}
        for name, text, _error in self.cells():
            plain = text.replace(",", "").replace(" ", "") or ("1" if name == "count" else "0")
            if (
                not _NUMBER.fullmatch(plain)
                or int(plain) > estimating.MOST_TOKENS
                or (name == "count" and plain == "0")
            ):
                least = 1 if name == "count" else 0
                self.errors[name] = _("A whole number from %(least)s to 1,000,000,000.") % {"least": least}
            else:
                numbers[name] = int(plain)
        if self.errors:
            return None
        if numbers["cached"] > numbers["input"]:
            self.errors["cached"] = _("More than the whole input: cached tokens are a part of it.")
            return None
        return Requests(numbers["input"] - numbers["cached"], numbers["cached"], numbers["output"], numbers["count"])


class EstimateForm(forms.Form):
    """Which model, and in which grade; the rows of the mix stand beside it."""

    use_required_attribute = False  # a file stands for the model

    model = forms.ChoiceField(
        label=gettext_lazy("Model"),
        widget=forms.Select(attrs={"class": "input"}),
        error_messages={"required": gettext_lazy("Choose a model, or a file below.")},
    )
    grade = forms.ChoiceField(
        label=gettext_lazy("Grade"),
        choices=[(name, label) for name, (label, _hint) in labels.GRADES.items()],
        initial=estimating.DEFAULT_GRADE,
        widget=forms.Select(attrs={"class": "input"}),
    )
    model_file = forms.FileField(
        label=gettext_lazy("Model file"),
        required=False,
        allow_empty_file=True,
        help_text=gettext_lazy(
            "config.json (256 KiB), .onnx (64 MiB, its weights may stay outside) or StableHLO text (.mlir). "
            "It counts instead of the model above, is read and never run, and is not kept."
        ),
    )
    number_format = forms.ChoiceField(
        label=gettext_lazy("Number format"),
        required=False,
        choices=[("", gettext_lazy("As the file says")), *((name, name) for name in NAMES)],
        widget=forms.Select(attrs={"class": "input"}),
    )
    digest = forms.CharField(
        label=gettext_lazy("Card digest that you expect"),
        required=False,
        max_length=80,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )
    trace = forms.FileField(
        label=gettext_lazy("Trace"),
        required=False,
        allow_empty_file=True,
        help_text=gettext_lazy(
            "CSV with TIMESTAMP, ContextTokens, GeneratedTokens, or JSON lines with input_length and output_length; "
            "8 MiB, 100,000 requests. It counts instead of the rows."
        ),
    )

    def __init__(self, *arguments: Any, organisation_id: UUID | None, signed_in: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.organisation_id, self.signed_in = organisation_id, signed_in
        self.fields["model"].required = "model_file" not in self.files
        lines = [(f"line:{one.slug}", one.display_name) for one in selectors.lines(organisation_id)]
        cards = [
            (f"card:{model.name}/{form}", f"{model.title} {form}")
            for model in catalogue.models()
            for form in model.cards
        ]
        self.fields["model"].choices = [
            ("", _("Choose a model")),
            (_("Traded here"), lines),
            (_("Cards of the catalogue"), cards),
        ]

    def clean(self) -> dict[str, Any]:
        """Uploads by members only."""
        cleaned = super().clean() or {}
        for name in ("model_file", "trace"):
            if cleaned.get(name) is not None and not self.signed_in:
                self.add_error(name, _("Sign in to send files; models of the list need no sign-in."))
        return cleaned

    @property
    def is_program(self) -> bool:
        """Whether the file is a program of fixed shapes, which needs no lengths."""
        sent = self.files.get("model_file")
        return sent is not None and _GRAPHS.get(PurePath(sent.name).suffix.lower()) == "stablehlo"

    def subject(self) -> Subject:
        """The model.

        :raises DomainError: it cannot be read or counted.
        """
        sent: UploadedFile | None = self.cleaned_data.get("model_file")
        form = self.cleaned_data.get("number_format", "")
        if sent is not None:
            found = self._of_file(sent, form)
        else:
            kind, _colon, name = self.cleaned_data["model"].partition(":")
            of = estimating.of_line if kind == "line" else estimating.of_card
            found = of(name, self.organisation_id)
        if expected := self.cleaned_data.get("digest", "").strip():
            estimating.check_digest(found, expected)
        return found

    def _of_file(self, sent: UploadedFile, form: str) -> Subject:
        name = PurePath(sent.name or "model").name
        suffix = PurePath(name).suffix.lower()
        if suffix in _GRAPHS:
            return estimating.of_graph(sent.chunks(), _GRAPHS[suffix], name=name, form=form)
        if suffix == ".json":
            raw = sent.read(uploads.LARGEST_CONFIG + 1)
            return estimating.of_config(estimating.read_config(raw, name), form, self.organisation_id)
        raise estimating.BadEstimate("", field="model_file", reason="suffix")

    def requests(self) -> list[Requests] | None:
        """Those of the trace; None without one.

        :raises DomainError: it cannot be read.
        """
        sent: UploadedFile | None = self.cleaned_data.get("trace")
        if sent is None:
            return None
        return estimating.trace(sent.read(uploads.LARGEST_TRACE + 1), PurePath(sent.name or "trace").name)

    def refuse(self, error: DomainError) -> None:
        """Put a refusal beside the field that it belongs to."""
        name = {"card": "model", "graph": "model_file", "config": "model_file"}.get(
            error.details.get("field", ""), error.details.get("field", "")
        )
        if error.code == "digest_differs":
            name = "digest"
        self.add_error(name if name in self.fields else None, _sentence(error))


def _sentence(error: DomainError) -> str:
    """What to do next, in the reader's words, and what was found in the file."""
    details = error.details
    if error.code == "digest_differs":
        found = details.get("digest", "")
        return (
            _("This card's digest is %(digest)s. Take the card that you expect, or leave the field empty.")
            % {"digest": f"card_{found[:16]}"}
            if found
            else _("A graph is no card and has no digest. Leave the field empty.")
        )
    if plain := _SENTENCES.get(str(details.get("reason", "")) or error.code):
        return str(plain)
    if details.get("inner"):
        words = {"field": details["inner"], "found": str(error).removeprefix(f"{details['inner']} ")}
        return _("The field %(field)s of the configuration: %(found)s. Correct it and send the file again.") % words
    return _("The file cannot be used: %(found)s. Correct it and send it again.") % {"found": error}


class Estimate(View):
    """What will this cost? Open to everybody; files are taken from members only."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form, and the answer for what the address names."""
        if not request.GET.keys() & set(COUNTS):  # an address may name the model alone
            initial = {"model": request.GET["model"]} if "model" in request.GET else None
            return self.show(request, self.form(request, None, initial=initial), [Row()])
        return self.answer(request, request.GET)

    def post(self, request: HttpRequest) -> HttpResponse:
        """The answer for a form; without files it has an address of its own, and goes there."""
        if request.POST.get("add"):
            rows = [*_rows(request.POST), Row()][:MOST_ROWS]
            initial = {name: request.POST.get(name, "") for name in ("model", "grade", "number_format", "digest")}
            return self.show(request, self.form(request, None, initial=initial), rows)
        return self.answer(request, request.POST)

    def answer(self, request: HttpRequest, data: QueryDict) -> HttpResponse:
        """Value what the form asks for, or say beside its fields what is wrong."""
        form, rows = self.form(request, data), _rows(data)
        valid, found = form.is_valid(), None
        try:
            requests = form.requests() if valid else None
            if requests is None:
                requests = [one for row in rows if (one := row.requests()) is not None]
                if rows[0].is_empty and not form.is_program:
                    rows[0].errors["input"] = _("How many tokens? Fill in input, output or both.")
                valid = valid and not any(row.errors for row in rows)
            if valid and request.method == "POST" and not request.FILES:
                return redirect(_address(form, rows))
            if valid:
                found = self.costed(form, requests)
        except DomainError as error:
            form.refuse(error)
        return self.show(request, form, rows, found)

    def costed(self, form: EstimateForm, requests: list[Requests]) -> Costed:
        """The estimate at today's prices."""
        return estimating.costed(
            form.subject(),
            requests,
            grade=form.cleaned_data["grade"],
            organisation_id=form.organisation_id,
            now=clock.now(),
        )

    def form(self, request: HttpRequest, data: QueryDict | None, **options: Any) -> EstimateForm:
        """The form of this reader."""
        actor = getattr(request, "actor", None)
        if data is not None and "grade" not in data:
            data = data.copy()
            data["grade"] = estimating.DEFAULT_GRADE
        return EstimateForm(
            data, request.FILES if data is not None and request.method == "POST" else None,
            organisation_id=actor.organisation_id if actor else None, signed_in=actor is not None, **options,
        )  # fmt: skip

    def show(
        self, request: HttpRequest, form: EstimateForm, rows: list[Row], found: Costed | None = None
    ) -> HttpResponse:
        """The page."""
        wrong = bool(form.errors) or any(row.errors for row in rows)
        context = {
            "form": form,
            "rows": rows,
            "rows_wrong": any(row.errors for row in rows),
            "may_add": len(rows) < MOST_ROWS,
        }
        if found is not None:
            context |= {"found": found, **_result(found)}
        return render(request, "market/estimate.html", context, status=REFUSED if wrong else 200)


def _rows(data: QueryDict) -> list[Row]:
    """The rows typed, without empty ones; one at least."""
    columns = {name: [text.strip()[:20] for text in data.getlist(name)[:MOST_ROWS]] for name in COUNTS}
    length = max(map(len, columns.values()), default=0)
    rows = [
        Row(
            **{
                name: texts[i] if i < len(texts) else ("1" if name == "count" else "")
                for name, texts in columns.items()
            }
        )
        for i in range(length)
    ]
    return [row for row in rows if not row.is_empty] or [Row()]


def _address(form: EstimateForm, rows: list[Row]) -> str:
    kept = {name: form.cleaned_data[name] for name in ("model", "grade", "digest") if form.cleaned_data.get(name)}
    cells = [(name, text) for row in rows for name, text, _error in row.cells()]
    return f"{reverse('market:estimate')}?{urlencode([*kept.items(), *cells])}"


def _result(found: Costed) -> dict[str, Any]:
    total, subject = found.estimate.total, found.subject
    exact = Fraction(total.micro_st, MICRO)
    return {
        "st": _st(exact, 6),
        "mean": _st(exact / total.requests) if total.requests > 1 else None,
        "interval": _interval(found.estimate.interval),
        "method": _METHODS.get(found.estimate.interval.method, found.estimate.interval.method),
        "requests": formats.tokens_exact(total.requests),
        "cost": _yuan(found.cost),
        "cheapest_cost": _yuan(found.cheapest),
        "dearest_cost": _yuan(found.dearest),
        "dearest": found.hours[-1] if found.hours else None,
        "grade_label": labels.grade(found.grade),
        "parts": _parts(found),
        "cheapest": figures.hour_rows(list(found.hours)),
        "curve": _curve(subject),
    }


def _parts(found: Costed) -> list[tuple[str, str, str, str]]:
    """(kind, tokens, ST, share in per cent) of the whole."""
    parts, total = found.parts, found.estimate.total
    if parts is None or not parts.total:
        return []
    rows = (
        (_("Input, not cached"), total.uncached, parts.input),
        (_("Input from the cache"), total.cached, parts.cached),
        (_("Output"), total.generated, parts.output),
    )
    return [
        (name, formats.tokens_exact(tokens), _st(st), f"{float(st / parts.total * 100):.1f}%")
        for name, tokens, st in rows
    ]


def _curve(subject: Subject) -> dict[str, Any] | None:
    points = estimating.curve(subject)
    if not points:
        return None
    first, last = points[0], points[-1]
    words = {"first": _st(first[1]), "last": _st(last[1]), "short": _length(first[0]), "long": _length(last[0])}
    if last[2] is None or first[2] is None:
        summary = _("A prompt token costs %(first)s ST at %(short)s tokens and %(last)s ST at %(long)s.") % words
    else:
        words |= {"first": _st(first[2]), "last": _st(last[2])}
        summary = _("An output token costs %(first)s ST at %(short)s tokens and %(last)s ST at %(long)s.") % words
    named = [("accent", _("Prompt token, mean of the prompt"), [point[1] for point in points])]
    if last[2] is not None:
        named.append(("supply", _("Output token"), [point[2] or Fraction(0) for point in points]))
    return {
        "title": _("ST per token by context"),
        "summary": summary,
        "legend": [({"accent": "demand", "supply": "supply"}[color], name) for color, name, _values in named],
        "headers": [_("Context, tokens"), *(f"{name}, ST" for _color, name, _values in named)],
        "rows": [
            (formats.tokens_exact(points[i][0]), *(_st(values[i]) for _color, _name, values in named))
            for i in range(len(points))
        ],
        "data": {
            "labels": [_length(point[0]) for point in points],
            "y": _("ST per token"),
            "series": [
                {
                    "name": name,
                    "type": "line",
                    "color": color,
                    "values": [significant(value, 6) for value in values],
                    "texts": [f"{_st(value)} ST" for value in values],
                }
                for color, name, values in named
            ],
        },
    }


def _length(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


def _st(value: Fraction, digits: int = 4) -> str:
    """ST for people: with thousands separators, at least so many significant figures."""
    whole, dot, rest = significant(value, digits).partition(".")
    return f"{int(whole):,}{dot}{rest}"


def _interval(found: Interval) -> tuple[str, str]:
    return _st(found.low), _st(found.high)


def _yuan(cost: Cost | None) -> dict[str, str] | None:
    if cost is None:
        return None
    sign = formats.currency_sign(get_language() or "en")
    return {name: sign + yuan_shown(getattr(cost, name)) for name in ("amount", "low", "high")}
