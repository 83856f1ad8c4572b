"""Pages of devices: what is known of each, what runs on it, and what the cost model expects. Public, like the market.

The lists ship with `token_standard`; nothing here reads the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language, gettext_lazy
from django.views import View

from accounts.http.web import not_found_page
from accounts.kernel import formats
from token_standard import catalogue, support
from token_standard import devices as device_list
from token_standard.devices import BANDWIDTH, LINK, MEMORY, Device, Figure
from token_standard.learned import reference
from token_standard.learned.prefer import Range
from token_standard.support import Entry, Portability

MAKERS = {
    "nvidia": "NVIDIA", "amd": "AMD", "huawei": gettext_lazy("Huawei"), "cambricon": gettext_lazy("Cambricon"),
    "kunlunxin": gettext_lazy("Kunlunxin"), "t-head": gettext_lazy("T-Head"), "sophgo": gettext_lazy("Sophgo"),
    "horizon": gettext_lazy("Horizon Robotics"), "hygon": gettext_lazy("Hygon"), "metax": gettext_lazy("MetaX"),
    "moore threads": gettext_lazy("Moore Threads"),
}  # fmt: skip
FIGURE_STATES = {
    "data sheet": (gettext_lazy("Data sheet"), "idle"),
    "declared": (gettext_lazy("Declared, not measured"), "warn"),
    "measured": (gettext_lazy("Measured"), "good"),
    "unsourced": (gettext_lazy("Unsourced"), "bad"),
    "unknown": (gettext_lazy("No figures"), "idle"),
}
SUPPORT_STATES = {
    "proved": (gettext_lazy("Proved"), "good"),
    "declared": (gettext_lazy("Declared"), "live"),
    "unsupported": (gettext_lazy("Unsupported"), "bad"),
    "unknown": (gettext_lazy("Unknown"), "idle"),
}
WITNESSES = {
    "benchmark": gettext_lazy("Benchmark"), "vendor": gettext_lazy("Vendor's document"),
    "engine": gettext_lazy("Engine's document"), "operator": gettext_lazy("Operator's document"),
}  # fmt: skip
NAMES = {
    BANDWIDTH: (gettext_lazy("Memory bandwidth"), "GB/s"),
    MEMORY: (gettext_lazy("Memory"), "GB"),
    LINK: (gettext_lazy("Link, one direction"), "GB/s"),
}
OUTSIDE = {
    "figures": gettext_lazy("16-bit peak, bandwidth or memory is not known."),
    "stack": gettext_lazy("No device with this software stack was measured."),
    "device": gettext_lazy("No device like it was measured."),
    "memory": gettext_lazy("The load has no room in its memory."),
}
PEAK_UNIT = "T/s"
_DECIMALS = 1
_TENTHS = 10


class Index(View):
    """All devices."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The table; maker, software stack and state of the figures filter it."""
        everything = device_list.devices()
        chosen = {name: request.GET.get(name, "") for name in ("maker", "stack", "state")}
        shown = [each for each in everything if _matches(each, chosen)]
        context = {
            "rows": [_row(each) for each in shown],
            "total": len(everything),
            "chosen": chosen,
            "filtered": any(chosen.values()),
            "makers": list(MAKERS.items()),
            "stacks": sorted({each.stack for each in everything}),
            "states": [(key, label) for key, (label, _) in FIGURE_STATES.items()],
        }
        return render(request, "providers/devices.html", context)


class DevicePage(View):
    """One device."""

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Figures by source, ridge points, portability, what the cost model expects, and the support matrix."""
        found = by_slug(slug)
        if found is None:
            return not_found_page(request)
        share = support.portability(found.name)
        context = {
            **_row(found),
            "figures": list(_figures(found)),
            "ridges": [(form, number(found.ridge(form))) for form in found.tera_ops if found.ridge(form) is not None],
            "counts": counts(share),
            "share": share,
            "expected": [_expected(each) for each in reference.expected(found)],
            "models": list(_models(found)),
        }
        return render(request, "providers/device.html", context)


def by_slug(slug: str) -> Device | None:
    """The device whose catalogue name this is."""
    return next((each for each in device_list.devices() if each.name == slug), None)


def number(value: Fraction | float | None) -> str:
    """With thousands separators and at most one decimal."""
    return formats.NOTHING if value is None else formats.scaled(round(value * _TENTHS), _DECIMALS)


def counts(share: Portability) -> list[dict[str, Any]]:
    """Each state with its label, count and share, best first."""
    values = (share.proved, share.declared, share.unsupported, share.unknown)
    return [
        {"state": state, "label": label, "count": value, "percent": number(Fraction(100 * value, share.total))}
        for (state, (label, _)), value in zip(SUPPORT_STATES.items(), values, strict=True)
    ]


def _matches(each: Device, chosen: dict[str, str]) -> bool:
    return (
        chosen["maker"] in {"", each.vendor}
        and chosen["stack"] in {"", each.stack}
        and (not chosen["state"] or chosen["state"] in each.states)
    )


def _row(each: Device) -> dict[str, Any]:
    share = support.portability(each.name)
    return {
        "device": each,
        "maker": MAKERS[each.vendor],
        "note": _in_language(each.note, each.note_zh),
        "peaks": {form: number(value) for form, value in each.tera_ops.items()},
        "bandwidth": number(each.gb_per_second),
        "memory": number(each.memory_gb),
        "states": [FIGURE_STATES[state] for state in each.states],
        "portability": number(share.percent),
        "proved": share.proved,
        "declared": share.declared,
        "total": share.total,
    }


def _figures(each: Device) -> list[dict[str, Any]]:
    stated = [_figure(what, figure) for what, figure in each.figures.items()]
    return stated + [_figure(what, figure) for what, figure in each.measured.items()]


def _figure(what: str, figure: Figure) -> dict[str, Any]:
    name, unit = NAMES.get(what, (what, PEAK_UNIT))
    label, tone = FIGURE_STATES[figure.state]
    return {"name": name, "value": number(figure.value), "unit": unit, "label": label, "tone": tone,
            "source": figure.source}  # fmt: skip


def _expected(each: reference.Expected) -> dict[str, Any]:
    return {
        "reference": each.reference,
        "static": each.reference.load.static,
        "concurrency": round(each.reference.load.concurrency),
        "input": round(each.reference.load.input),
        "output": round(each.reference.load.output),
        "range": _range(each.st_per_second),
        "outside": [OUTSIDE[name] for name in each.outside if name in OUTSIDE],
    }


def _range(found: Range | None) -> dict[str, str] | None:
    if found is None:
        return None
    return {name: formats.scaled(round(value), 0) for name, value in vars(found).items()}


def _models(each: Device) -> list[dict[str, Any]]:
    rows = []
    for model in catalogue.models():
        entries = [entry for entry in support.entries_of(each.name) if entry.model == model.name]
        label, tone = SUPPORT_STATES[support.state(each.name, model.name)]
        rows.append(
            {
                "title": model.title,
                "state": label,
                "tone": tone,
                "fits": [(form, support.fits_on(each, model, form)) for form in ("fp16", "fp8")],
                "entries": _entries(entries),
            }
        )
    return rows


def _entries(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [
        {
            "entry": each,
            "label": SUPPORT_STATES[each.state][0],
            "who": WITNESSES[each.evidence.who],
            "formats": ", ".join(each.formats),
            "versions": ", ".join(each.versions),
            "text": _in_language(each.evidence.text, each.evidence.text_zh),
            "note": _in_language(each.note, each.note_zh),
        }
        for each in entries
    ]


def _in_language(english: str, chinese: str) -> str:
    return chinese if (get_language() or "").startswith("zh") else english
