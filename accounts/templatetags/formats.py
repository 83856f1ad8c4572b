"""Template tags and filters over `accounts.kernel.formats`, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from django import template
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_lazy

from accounts.kernel import formats

register = template.Library()

# State -> (label, tone). A tone is a CSS class: live, good, warn, bad, idle. Words first, colour only supports them.
CHIPS: dict[str, tuple[str | Promise, str]] = {
    "active": (gettext_lazy("Active"), "live"),
    "accepted": (gettext_lazy("Accepted"), "good"),
    "available": (gettext_lazy("Available"), "good"),
    "cancelled": (gettext_lazy("Cancelled"), "idle"),
    "cleared": (gettext_lazy("Cleared"), "good"),
    "closed": (gettext_lazy("Closed"), "idle"),
    "conflict": (gettext_lazy("Conflict"), "bad"),
    "created": (gettext_lazy("Being opened"), "idle"),
    "delivered": (gettext_lazy("Delivered"), "good"),
    "disputed": (gettext_lazy("Disputed"), "warn"),
    "draft": (gettext_lazy("Draft"), "idle"),
    "expired": (gettext_lazy("Expired"), "idle"),
    "failed": (gettext_lazy("Failed"), "bad"),
    "filled": (gettext_lazy("Filled"), "good"),
    "finalising": (gettext_lazy("Being finalised"), "live"),
    "frozen": (gettext_lazy("Frozen"), "warn"),
    "grace": (gettext_lazy("Grace period"), "idle"),
    "halted": (gettext_lazy("Halted"), "bad"),
    "hard": (gettext_lazy("Hard difference"), "bad"),
    "held": (gettext_lazy("Held"), "live"),
    "listed": (gettext_lazy("Listed"), "idle"),
    "live": (gettext_lazy("Active"), "live"),  # an offer; the feed has its own words
    "matched": (gettext_lazy("Matched"), "good"),
    "open": (gettext_lazy("Open"), "live"),
    "overdue": (gettext_lazy("Overdue"), "bad"),
    "paid": (gettext_lazy("Paid"), "good"),
    "parked": (gettext_lazy("Parked"), "warn"),
    "part_paid": (gettext_lazy("Part paid"), "warn"),
    "partially_filled": (gettext_lazy("Partly filled"), "live"),
    "pending_cancel": (gettext_lazy("Being cancelled"), "live"),
    "paused": (gettext_lazy("Paused"), "warn"),
    "pending": (gettext_lazy("Pending"), "idle"),
    "posted": (gettext_lazy("Posted"), "live"),
    "probation": (gettext_lazy("Probation"), "warn"),
    "provisional": (gettext_lazy("Provisional"), "warn"),
    "quarantined": (gettext_lazy("Quarantined"), "warn"),
    "queued": (gettext_lazy("Queued"), "idle"),
    "rated": (gettext_lazy("Rated"), "good"),
    "refused": (gettext_lazy("Refused"), "bad"),
    "rejected": (gettext_lazy("Refused"), "bad"),
    "released": (gettext_lazy("Released"), "idle"),
    "retired": (gettext_lazy("Retired"), "idle"),
    "revoked": (gettext_lazy("Revoked"), "idle"),
    "running": (gettext_lazy("Running"), "live"),
    "scheduled": (gettext_lazy("Scheduled"), "idle"),
    "sent": (gettext_lazy("Sent"), "good"),
    "settled": (gettext_lazy("Settled"), "good"),
    "single_witness": (gettext_lazy("One meter only"), "warn"),
    "soft": (gettext_lazy("Soft difference"), "warn"),
    "sold": (gettext_lazy("Sold"), "good"),
    "uncollectible": (gettext_lazy("Uncollectible"), "bad"),
    "unknown": (gettext_lazy("Not known yet"), "warn"),
    "verified": (gettext_lazy("Verified"), "good"),
    "void": (gettext_lazy("Void"), "idle"),
    "voided": (gettext_lazy("Void"), "idle"),
    "withdrawn": (gettext_lazy("Withdrawn"), "idle"),
}


def _lang() -> str:
    return get_language() or "en"


def _filter(function: Callable[..., str | int]) -> Callable[..., str | int]:
    """Register a filter. Django hands filters an empty text for what is not there; here that is None, unknown."""

    @wraps(function)
    def known(value: Any, *arguments: Any) -> str | int:
        return function(None if value == "" else value, *arguments)

    register.filter(function.__name__, known)
    return function


@register.simple_tag
def unit_price(price_micros: int | None, unit: formats.Unit = "token", currency: str = "CNY") -> str:
    """Both unit prices of micro-yuan per million; which one comes first is the reader's choice (unit switch)."""
    if price_micros is None:
        return formats.NOTHING
    lang = _lang()
    sign = formats.currency_sign(lang, currency)
    return format_html(
        '<span class="unit-price"><span class="per-m"><b>{}{}</b> <i>{}</i></span>'
        '<span class="sep" aria-hidden="true">·</span>'
        '<span class="per-token"><b>{}{}</b> <i>{}</i></span></span>',
        sign,
        formats.per_million_number(price_micros),
        formats.per_million_unit(lang, unit),
        sign,
        formats.per_token_number(price_micros),
        formats.per_token_unit(lang, unit),
    )


@register.simple_tag
def price_per_million(price_micros: int | None, unit: formats.Unit = "token", currency: str = "CNY") -> str:
    """One price as text: "CN¥3,100.00 /M tokens"."""
    return formats.unit_price_per_million(price_micros, _lang(), unit=unit, currency=currency)


@register.simple_tag
def price_per_token(price_micros: int | None, unit: formats.Unit = "token", currency: str = "CNY") -> str:
    """One price as text: "CN¥0.0031 /token"."""
    return formats.unit_price_per_token(price_micros, _lang(), unit=unit, currency=currency)


@_filter
def per_million(price_micros: int | None) -> str:
    """The bare number for a column whose header names the unit: "3,100.00"."""
    return formats.per_million_number(price_micros)


@_filter
def per_token(price_micros: int | None) -> str:
    """The bare number for a column whose header names the unit: "0.0031"."""
    return formats.per_token_number(price_micros)


@_filter
def money_fen(fen: int | None, currency: str = "CNY") -> str:
    """An amount of fen: "CN¥80,160.00"."""
    return formats.amount_fen(fen, _lang(), currency=currency)


@_filter
def money_micros(micros: int | None, currency: str = "CNY") -> str:
    """An amount of micro-yuan at two decimals, with the exact one in `title` where they differ."""
    shown = formats.amount_micros(micros, _lang(), currency=currency)
    exact = formats.amount_micros(micros, _lang(), exact=True, currency=currency)
    return shown if shown == exact else format_html('<span title="{}">{}</span>', exact, shown)


@_filter
def money_exact(micros: int | None, currency: str = "CNY") -> str:
    """An amount of micro-yuan with all its decimals."""
    return formats.amount_micros(micros, _lang(), exact=True, currency=currency)


@_filter
def tokens(count: int | None) -> str:
    """A compact count with the exact one in `title`: 25M, 2500万."""
    shown, exact = formats.tokens_compact(count, _lang()), formats.tokens_exact(count)
    return shown if shown == exact else format_html('<span title="{}">{}</span>', exact, shown)


@_filter
def tokens_exact(count: int | None) -> str:
    """A count in full: 25,000,000."""
    return formats.tokens_exact(count)


@_filter
def micro_st(micro: int | None) -> str:
    """Micro-ST exactly, with the unit."""
    return formats.micro_st(micro, _lang())


@_filter
def micro_st_fixed(micro: int | None) -> str:
    """Micro-ST with all six decimals, for columns."""
    return formats.micro_st(micro, _lang(), fixed=True)


@_filter
def instant(at: datetime | None) -> str:
    """An instant on the market clock as `<time>`."""
    return _time(at, seconds=False)


@_filter
def instant_seconds(at: datetime | None) -> str:
    """The same, with seconds."""
    return _time(at, seconds=True)


@register.simple_tag
def window(start: datetime | None, end: datetime | None) -> str:
    """A half-open window on the market clock as `<time>`; `title` carries the year and the clock's name."""
    if start is None or end is None:
        return formats.NOTHING
    return format_html(
        '<time class="window" datetime="{}" title="{} – {} UTC+08:00">{}</time>',
        _rfc3339(start),
        formats.instant(start, _lang()),
        formats.instant(end, _lang()),
        formats.window(start, end, _lang()),
    )


@register.simple_tag
def change(before: int | None, after: int | None) -> str:
    """The change in per cent; colour follows the reader's up/down preference, sign and arrow always stand beside it."""
    shown = formats.change_percent(before, after)
    return format_html('<span class="change {}">{}</span>', formats.direction(before, after), shown)


@register.simple_tag
def chip(state: str, label: str = "", tone: str = "") -> SafeString:
    """The state as a word in a chip. `label` and `tone` override what `CHIPS` says."""
    known_label, known_tone = CHIPS.get(state, (state.replace("_", " ").capitalize(), "idle"))
    return format_html('<span class="chip {}">{}</span>', tone or known_tone, label or known_label)


@_filter
def percent_of(part: int | None, whole: int | None) -> int:
    """Whole per cent of `part` in `whole`, 0–100, rounded down: for the length of bars only."""
    if not part or not whole:
        return 0
    return max(0, min(100, part * 100 // whole))


def _time(at: datetime | None, *, seconds: bool) -> str:
    if at is None:
        return formats.NOTHING
    return format_html(
        '<time datetime="{0}" title="{0} · UTC+08:00">{1}</time>',
        _rfc3339(at),
        formats.instant(at, _lang(), seconds=seconds),
    )


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
