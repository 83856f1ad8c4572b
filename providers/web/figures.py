"""What the pages show of selectors' answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.kernel import formats, ids
from accounts.kernel.actor import Actor
from market.kernel.text import price_text
from providers import selectors
from providers.kernel.capacity import WHOLE_BPS, declared_rate
from providers.kernel.drafts import PlanDraft
from providers.kernel.outlook import Level
from providers.kernel.schedule import Calendar, Once
from providers.selectors import DeploymentView, PlanView, Standing
from providers.services.offers import OfferPreview
from providers.services.outlook import BookView, Outlook
from providers.web import labels, rating_figures

_PERCENT = 100


def offer(plan: PlanView) -> dict[str, Any]:
    """One offer with its words and actions."""
    return {
        "plan": plan,
        "public_id": ids.encode("off", plan.id),
        "grade": labels.GRADE_NAMES.get(plan.grade, plan.grade),
        "hours": labels.hours(plan.schedule),
        "discount": _percent(plan.discount_bps),
        "share": _percent(plan.share_bps),
        "problem": labels.problem(plan.problem) if plan.state == "live" else "",
        "windows_open": sum(1 for one in plan.posted if one.state == "open"),
        "may_post": plan.state in {"draft", "paused"},
        "may_pause": plan.state == "live",
        "may_withdraw": plan.state != "withdrawn",
    }


def outlook(draft: PlanDraft, seen: Outlook) -> dict[str, Any]:
    """What an offer would post, each window with the name of its day; one window's book; and the replay."""
    by_calendar, found = isinstance(draft.schedule, Calendar), seen.preview
    return {
        "preview": found,
        "book": _book(seen.book, found) if seen.book else None,
        "replay": seen.replay,
        "sold_percent": _percent(seen.replay.most_st * WHOLE_BPS // seen.replay.offered_st)
        if seen.replay.offered_st
        else "",
        "once": isinstance(draft.schedule, Once),
        "windows": [(one, labels.day(one.day)) for one in found.windows],
        "by_calendar": by_calendar,
        "unpublished": by_calendar and not all(one.day.published for one in found.windows),
    }


def _book(view: BookView, found: OfferPreview) -> dict[str, Any]:
    """Supply and demand of one window with the offer in it, as a chart and its table."""
    lang, own, limit = get_language() or "en", view.own, view.window.limit_micros
    bids, offers, yours = _("Bids"), _("Offers"), _("Your offer")
    mine = (limit, own.to_st) if view.window.quantity_st else None
    step = {"from": price_text(own.from_st), "to": price_text(own.to_st), "price": price_text(limit), "side": "supply"}
    return {
        "windows": [
            (one.start.isoformat(), formats.window(one.start, one.end, lang), one is view.window)
            for one in found.windows
        ],
        "nothing_left": mine is None,
        "title": _("Open supply and demand, with your offer") if mine else _("Open supply and demand"),
        "summary": formats.window(view.window.start, view.window.end, lang),
        "legend": [("demand", bids), ("supply", offers), *([("own sell", yours)] if mine else [])],
        "headers": [_("Side and price, CN¥/M ST"), _("Cumulative quantity, ST")],
        "rows": [
            *(_row(bids, level) for level in view.demand),
            *(_row(yours if level == mine else offers, level) for level in own.supply),
        ],
        "data": {
            "x": _("Quantity, M ST"),
            "y": _("CN¥/M ST"),
            "names": {"demand": bids, "supply": offers},
            "demand": [_step(level, lang) for level in view.demand],
            "supply": [_step(level, lang) for level in own.supply],
            "clearing": None,
            "own": [step] if mine else [],
        },
        "limit_micros": limit,
        "last_price_micros": view.last_price_micros,
        "ahead_st": own.from_st,
        "wanted_st": own.wanted_st,
    }


def _row(name: str, level: Level) -> tuple[str, str]:
    return f"{name} {formats.per_million_number(level[0])}", formats.tokens_exact(level[1])


def _step(level: Level, lang: str) -> list[str]:
    price, size = level
    text = f"{formats.unit_price_per_million(price, lang, unit='st')} · {formats.tokens_compact(size, lang)} ST"
    return [price_text(size), price_text(price), text]


def pools(actor: Actor, *, now: datetime) -> list[dict[str, Any]]:
    """Pools with their deployments and how these are rated."""
    deployments = selectors.deployments_of(actor)
    standings = selectors.standings(deployments, now=now)
    return [
        {
            "pool": pool,
            "public_id": ids.encode("pol", pool.id),
            "vendor": labels.VENDORS.get(pool.vendor, pool.vendor),
            "region": labels.REGIONS.get(pool.region, pool.region),
            "data_terms": labels.DATA_TERMS.get(pool.data_terms, pool.data_terms),
            "deployments": [deployment(one, standings[one.id]) for one in deployments if one.pool_id == pool.id],
        }
        for pool in selectors.pools_of(actor)
    ]


def deployment(view: DeploymentView, standing: Standing) -> dict[str, Any]:
    """One deployment and how it is rated."""
    return {
        "view": view,
        "public_id": ids.encode("dep", view.id),
        "share": _percent(view.share_bps),
        "declared_rate": declared_rate(view.rate_st_per_second, view.share_bps),
        "standing": rating_figures.standing(view, standing),
    }


def _percent(bps: int) -> str:
    """Basis points as per cent without trailing zeros: 3050 is "30.5"."""
    whole, rest = divmod(bps, _PERCENT)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(whole)
