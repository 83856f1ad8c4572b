"""Forms of the provider's pages. They turn what people type into drafts; the rules themselves are the kernel's."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.kernel.errors import DomainError
from accounts.kernel.formats import MARKET_CLOCK, scaled
from market import selectors as market
from providers.kernel.days import KNOWN_TO
from providers.kernel.drafts import DeploymentDraft, PlanDraft, PoolDraft
from providers.kernel.schedule import Calendar, Hours, Once, Schedule, Weekly
from providers.kernel.vocabulary import known_formats
from providers.selectors import DeploymentView, PoolView
from providers.web import labels

_MICROS = 10**6
_BPS_OF_PERCENT = 100
_FIELDS = {
    "floor_micros": "floor",
    "discount_bps": "discount",
    "share_bps": "share",
    "rate_st_per_second": "rate",
    "window_start": "window",
    "deployment": "deployment",
    "workday_hours": "workday_from",
    "restday_hours": "restday_from",
}
_ERRORS: dict[str, str | Promise] = {
    "name_taken": _("You have one like this already."),
    "worse_format": _("This format is coarser than the one the line is sold in."),
    "private_endpoint": _("The gateway calls public https addresses only."),
    "wrong_state": _("This is not possible any more; load the page again."),
    "scope_missing": _("Your role may not change offers. An owner of your organisation can grant it."),
    "unknown_line": _("This model line is not traded."),
}


class ProviderForm(forms.Form):
    """A form that can take a refusal of the services and put it beside the field it is about."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if isinstance(field.widget, forms.Select):
                field.widget.attrs.setdefault("class", "select")
            elif not isinstance(field.widget, forms.CheckboxSelectMultiple | forms.RadioSelect):
                field.widget.attrs.setdefault("class", "input")

    def refuse(self, error: DomainError) -> None:
        """Show a refusal: in the reader's language where its code is known, with the legal value where there is one."""
        given = error.details.get("field", "")
        field = _FIELDS.get(given, given)
        if "suggest_micros" in error.details:
            tick = scaled(error.details["tick_micros"], 6, at_least=2)
            message: str | Promise = _("The floor is a multiple of CN¥%(tick)s.") % {"tick": tick}
            self.suggest = scaled(error.details["suggest_micros"], 6, at_least=2)
        else:
            message = _ERRORS.get(error.code, _("This value is not possible."))
        self.add_error(field if field in self.fields else None, str(message))

    suggest = ""


class PoolForm(ProviderForm):
    """A pool of accelerators."""

    name = forms.CharField(label=_("Name"), max_length=80)
    vendor = forms.ChoiceField(label=_("Vendor"), choices=list(labels.VENDORS.items()))
    chip = forms.CharField(
        label=_("Chip"), max_length=60, help_text=_("As its maker calls it, e.g. Ascend 910B or A100-80G")
    )
    device_count = forms.IntegerField(label=_("Number of devices"), min_value=1, max_value=1_000_000)
    region = forms.ChoiceField(label=_("Region"), choices=list(labels.REGIONS.items()))
    data_terms = forms.ChoiceField(label=_("What happens to prompts"), choices=list(labels.DATA_TERMS.items()))

    def draft(self) -> PoolDraft:
        """What was typed."""
        return PoolDraft(**self.cleaned_data)


class DeploymentForm(ProviderForm):
    """A model line served on a pool."""

    pool = forms.ChoiceField(label=_("Pool"))
    line = forms.ChoiceField(label=_("Model line"))
    served_format = forms.ChoiceField(
        label=_("Served format"), choices=[(name, name) for name in known_formats()], initial="fp16",
        help_text=_("At least as fine as the format the line is sold in"),
    )  # fmt: skip
    endpoint_url = forms.CharField(
        label=_("Address of the engine"), max_length=300, help_text=_("OpenAI-compatible, https, without /v1")
    )
    engine_model = forms.CharField(
        label=_("What the engine calls the model"),
        max_length=200,
        required=False,
        help_text=_("Empty: as the line is called"),
    )
    api_key = forms.CharField(
        label=_("Key of the engine"), max_length=400, required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}), help_text=_("Kept apart and never shown again"),
    )  # fmt: skip
    rate = forms.IntegerField(
        label=_("Rated speed"), min_value=1, max_value=10**9, help_text=_("Standard tokens a second of the whole pool")
    )
    share = forms.DecimalField(
        label=_("Share for sale"), min_value=Decimal("0.01"), max_value=100, max_digits=5, decimal_places=2, initial=100
    )

    def __init__(self, *args: Any, pools: list[PoolView], lines: list[market.LineView], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.has_pool = bool(pools)
        _choice(self, "pool").choices = [(str(pool.id), pool.name) for pool in pools]
        _choice(self, "line").choices = [(line.slug, f"{line.display_name} · {line.card_format}") for line in lines]

    def draft(self) -> DeploymentDraft:
        """What was typed."""
        data = self.cleaned_data
        return DeploymentDraft(
            pool_id=UUID(data["pool"]),
            line=data["line"],
            served_format=data["served_format"],
            endpoint_url=data["endpoint_url"].strip(),
            engine_model=data["engine_model"].strip(),
            api_key=data["api_key"],
            rate_st_per_second=data["rate"],
            share_bps=_bps(data["share"]),
        )


def _hour(label: str | Promise, hours: range, *, initial: str) -> forms.TypedChoiceField:
    """An hour of one kind of day, or none of that kind."""
    choices = [("", _("none")), *((str(hour), f"{hour:02d}:00") for hour in hours)]
    return forms.TypedChoiceField(
        label=label, required=False, coerce=int, empty_value=None, initial=initial, choices=choices
    )


class OfferForm(ProviderForm):
    """An offer: off-peak hours of the week or of kinds of day, or one window."""

    deployment = forms.ChoiceField(label=_("Deployment"))
    grade = forms.ChoiceField(label=_("Grade"), choices=list(labels.GRADES.items()), initial="interactive")
    kind = forms.ChoiceField(
        label=_("When"), initial="weekly", widget=forms.RadioSelect,
        choices=[("weekly", _("Every week")), ("calendar", _("Working days and days off")), ("once", _("Once"))],
    )  # fmt: skip
    weekdays = forms.MultipleChoiceField(
        label=_("Days"), required=False, widget=forms.CheckboxSelectMultiple,
        choices=[(str(day), label) for day, label in enumerate(labels.WEEKDAYS)], initial=list("0123456"),
    )  # fmt: skip
    from_hour = forms.TypedChoiceField(
        label=_("From (UTC+08:00)"), required=False, coerce=int, empty_value=None, initial="1",
        choices=[(str(hour), f"{hour:02d}:00") for hour in range(24)],
    )  # fmt: skip
    to_hour = forms.TypedChoiceField(
        label=_("To (UTC+08:00)"), required=False, coerce=int, empty_value=None, initial="7",
        choices=[(str(hour), f"{hour:02d}:00") for hour in range(1, 25)],
        help_text=_("An earlier hour than “from” runs over midnight"),
    )  # fmt: skip
    workday_from = _hour(_("Working days from"), range(24), initial="1")
    workday_to = _hour(_("Working days to"), range(1, 25), initial="7")
    restday_from = _hour(_("Days off from"), range(24), initial="0")
    restday_to = _hour(_("Days off to"), range(1, 25), initial="24")
    window = forms.ChoiceField(label=_("Window (UTC+08:00)"), required=False)
    discount = forms.DecimalField(
        label=_("Discount on the list price"), min_value=0, max_value=Decimal("99.99"), max_digits=4, decimal_places=2,
        initial=30, help_text=_("The list price of the day on which a window opens for trading"),
    )  # fmt: skip
    floor = forms.DecimalField(
        label=_("Floor"), min_value=0, max_digits=12, decimal_places=6, help_text=_("The offer never asks for less")
    )
    share = forms.DecimalField(
        label=_("Share of the deployment"), min_value=Decimal("0.01"), max_value=100, max_digits=5, decimal_places=2,
        initial=100,
    )  # fmt: skip

    def __init__(
        self, *args: Any, deployments: list[DeploymentView], windows: list[tuple[datetime, datetime]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.has_deployment = bool(deployments)
        self.days_known_to = str(KNOWN_TO)
        _choice(self, "deployment").choices = [
            (str(one.id), f"{one.pool_name} · {one.line_name} · {one.rate_st_per_second:,} ST/s") for one in deployments
        ]
        self._windows = {start.isoformat(): start for start, _end in windows}
        _choice(self, "window").choices = [
            (key, f"{start.astimezone(MARKET_CLOCK):%m-%d %H:%M}") for key, start in self._windows.items()
        ]

    def clean(self) -> dict[str, Any]:
        """Ask for what the chosen kind needs."""
        data = super().clean() or {}
        if data.get("kind") == "once" and not data.get("window"):
            self.add_error("window", _("Choose a window."))
        if data.get("kind") == "weekly":
            if not data.get("weekdays"):
                self.add_error("weekdays", _("Choose at least one day."))
            if data.get("from_hour") is None or data.get("to_hour") is None:
                self.add_error("from_hour", _("Choose the hours."))
            elif data["from_hour"] == data["to_hour"]:
                self.add_error("to_hour", _("The hours begin and end at the same time; a whole day is 00:00 to 24:00."))
        if data.get("kind") == "calendar":
            self._check_calendar(data)
        return data

    def _check_calendar(self, data: dict[str, Any]) -> None:
        pairs = [(data.get(f"{day}_from"), data.get(f"{day}_to")) for day in ("workday", "restday")]
        if not self.errors and pairs == [(None, None)] * 2:
            self.add_error("workday_from", _("Choose hours of working days, of days off, or both."))
        for day, (begin, end) in zip(("workday", "restday"), pairs, strict=True):
            if (begin is None) != (end is None):
                self.add_error(f"{day}_from" if begin is None else f"{day}_to", _("Choose both hours, or none."))
            elif begin is not None and begin == end:
                self.add_error(
                    f"{day}_to", _("The hours begin and end at the same time; a whole day is 00:00 to 24:00.")
                )

    def draft(self) -> PlanDraft:
        """What was typed."""
        data = self.cleaned_data
        schedule: Schedule
        if data["kind"] == "once":
            schedule = Once(self._windows[data["window"]])
        elif data["kind"] == "calendar":
            schedule = Calendar(
                _hours(data["workday_from"], data["workday_to"]), _hours(data["restday_from"], data["restday_to"])
            )
        else:
            schedule = Weekly(frozenset(int(day) for day in data["weekdays"]), data["from_hour"], data["to_hour"])
        return PlanDraft(
            deployment_id=UUID(data["deployment"]),
            grade=data["grade"],
            schedule=schedule,
            discount_bps=_bps(data["discount"]),
            floor_micros=int(data["floor"] * _MICROS),
            share_bps=_bps(data["share"]),
        )


def _choice(form: forms.Form, name: str) -> forms.ChoiceField:
    field = form.fields[name]
    assert isinstance(field, forms.ChoiceField)
    return field


def _hours(begin: int | None, end: int | None) -> Hours | None:
    return None if begin is None or end is None else Hours(begin, end)


def _bps(percent: Decimal) -> int:
    return int(percent * _BPS_OF_PERCENT)
