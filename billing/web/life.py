"""The second half of an order's life: delivered, metered, billed."""

from __future__ import annotations

from datetime import datetime

from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.kernel import formats, ids
from billing.selectors import OrderUsage

Event = tuple[str, str, datetime | None, str]  # state, title, instant, text: as components/timeline.html shows it


def events(usage: OrderUsage, *, now: datetime) -> list[Event]:
    """What happened to what the order bought or sold; nothing where nothing was matched."""
    if not usage.allocations:
        return []
    return [_delivered(usage, now), _metered(usage, now), _billed(usage, now)]


def _delivered(usage: OrderUsage, now: datetime) -> Event:
    window = usage.allocations[0]
    drawn = _("%(drawn)s of %(bought)s") % {
        "drawn": _st(usage.drawn_micro_st), "bought": _st(usage.bought_st * 10**6),
    }  # fmt: skip
    if now < window.window_start:
        return ("todo", _("Delivery begins"), window.window_start, "")
    if now < window.window_end:
        return ("now", _("Being delivered"), window.window_start, drawn)
    return ("done", _("Delivered"), window.window_end, drawn)


def _metered(usage: OrderUsage, now: datetime) -> Event:
    text = _("%(requests)s requests, %(st)s") % {
        "requests": formats.tokens_exact(usage.requests), "st": _st(usage.metered_micro_st),
    }  # fmt: skip
    if not usage.requests:
        return ("todo", _("Metered"), None, _("No request yet") if now < usage.allocations[0].window_end else text)
    done = usage.settled and now >= usage.allocations[0].window_end
    return ("done" if done else "now", _("Metered"), None, text)


def _billed(usage: OrderUsage, now: datetime) -> Event:
    if not usage.billed_micro_st:
        return ("todo", _("Billed"), None, "")
    amount = _("%(st)s rated: %(amount)s") % {
        "st": _st(usage.billed_micro_st), "amount": formats.amount_micros(usage.billed_micros, _lang(), exact=True),
    }  # fmt: skip
    numbers = format_html_join(
        ", ", '<a href="{}">{}</a>',
        (
            (reverse("billing:invoice", args=[ids.encode("inv", one.id)]), one.figures["number"])
            for one in usage.invoices
        ),
    )  # fmt: skip
    over = now >= usage.allocations[0].window_end
    done = over and not usage.waiting and usage.billed_micro_st == usage.metered_micro_st
    text = format_html_join(" · ", "{}", ((part,) for part in (amount, numbers) if part))
    return ("done" if done else "now", _("Billed"), None, text)


def _st(micro_st: int) -> str:
    return formats.micro_st(micro_st, _lang())


def _lang() -> str:
    return get_language() or "en"
