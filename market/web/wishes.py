"""What a flexible bid accepts, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.kernel import formats
from market import selectors
from market.kernel import windows
from market.kernel.orders import DATA_TERMS, GRADES, STRICTEST_TERMS, TIERS, Choice, OrderDraft, Scope, takes_better
from market.selectors import OrderView
from market.web import labels


def of_order(view: OrderView) -> dict[str, Any]:
    """The products that a placed bid accepts, and what it asks beside them."""
    told = _told(view.choices, view.grade, view.scope, view.organisation_id, quantity_st=view.quantity_st)
    better = takes_better(view.choices, grade=view.grade)
    return {
        **told,
        "terms": [*told["terms"], (_("What happens to prompts"), _data_terms(view.scope))],
        "better": better,
    }


def of_draft(draft: OrderDraft) -> dict[str, Any] | None:
    """The same of a bid to be placed, without what it leaves open; None for one that is not flexible."""
    if not draft.is_flexible:
        return None
    told = _told(draft.choices, draft.grade, draft.scope, draft.organisation_id, quantity_st=draft.quantity_st)
    terms = [(label, words) for label, words in told["terms"] if words != _("Any")]
    if draft.scope.data_terms != STRICTEST_TERMS:
        terms.append((_("What happens to prompts"), _data_terms(draft.scope)))
    return {**told, "terms": terms}


def _told(
    choices: Iterable[Choice], grade: str, scope: Scope, organisation_id: UUID, *, quantity_st: int
) -> dict[str, Any]:
    names = {one.slug: one.display_name for one in selectors.lines(organisation_id)}
    products = [
        {
            "line": names.get(one.line, one.line),
            "grade": labels.grade(one.grade or grade),
            "start": one.window_start,
            "end": one.window_start + windows.WINDOW,
            "limit_micros": one.limit_micros,
        }
        for one in sorted(choices, key=lambda one: (one.window_start, one.line, _rank(one.grade or grade)))
    ]
    several = len({one["grade"] for one in products}) > 1
    return {"products": products, "several_grades": several, "terms": _terms(scope, quantity_st)}


def _terms(scope: Scope, quantity_st: int) -> list[tuple[str, str]]:
    """Vendors, regions, tier and minimum as (label, words)."""
    lowest = min(scope.tiers, key=TIERS.index, default=TIERS[0])
    least = formats.tokens_exact(scope.minimum_st)
    if not scope.minimum_st:
        minimum = _("Any")
    elif scope.minimum_st == quantity_st:
        minimum = _("All or nothing")
    else:
        minimum = _("At least %(count)s ST in a round") % {"count": least}
    return [
        (_("Vendors"), _words(scope.vendors)),
        (_("Regions"), _words(scope.regions)),
        (_("Minimum tier"), str(labels.TIERS[lowest])),
        (_("Minimum quantity"), minimum),
    ]


def _rank(grade: str) -> int:
    return GRADES.index(grade) if grade in GRADES else len(GRADES)


def _data_terms(scope: Scope) -> str:
    return "; ".join(str(labels.DATA_TERMS[name]) for name in DATA_TERMS if name in scope.data_terms)


def _words(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or _("Any")
