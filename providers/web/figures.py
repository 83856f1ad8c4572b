"""What the pages show of selectors' answers."""

from __future__ import annotations

from typing import Any

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from providers import selectors
from providers.kernel.capacity import declared_rate
from providers.kernel.drafts import PlanDraft
from providers.kernel.schedule import Calendar
from providers.selectors import DeploymentView, PlanView
from providers.services.offers import OfferPreview
from providers.web import labels

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


def preview(draft: PlanDraft, found: OfferPreview) -> dict[str, Any]:
    """What an offer would post, each window with the name of its day."""
    by_calendar = isinstance(draft.schedule, Calendar)
    return {
        "preview": found,
        "windows": [(one, labels.day(one.day)) for one in found.windows],
        "by_calendar": by_calendar,
        "unpublished": by_calendar and not all(one.day.published for one in found.windows),
    }


def pools(actor: Actor) -> list[dict[str, Any]]:
    """Pools with their deployments."""
    deployments = selectors.deployments_of(actor)
    return [
        {
            "pool": pool,
            "public_id": ids.encode("pol", pool.id),
            "vendor": labels.VENDORS.get(pool.vendor, pool.vendor),
            "region": labels.REGIONS.get(pool.region, pool.region),
            "data_terms": labels.DATA_TERMS.get(pool.data_terms, pool.data_terms),
            "deployments": [_deployment(one) for one in deployments if one.pool_id == pool.id],
        }
        for pool in selectors.pools_of(actor)
    ]


def _deployment(view: DeploymentView) -> dict[str, Any]:
    return {
        "view": view,
        "public_id": ids.encode("dep", view.id),
        "share": _percent(view.share_bps),
        "declared_rate": declared_rate(view.rate_st_per_second, view.share_bps),
    }


def _percent(bps: int) -> str:
    """Basis points as per cent without trailing zeros: 3050 is "30.5"."""
    whole, rest = divmod(bps, _PERCENT)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(whole)
