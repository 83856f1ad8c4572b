"""From the names that an order uses to its product."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from market import selectors
from market.models import Market, ModelLine
from market.selectors import ProductView
from market.services import catalogue


def product_for(
    market_id: UUID, line: str, grade: str, window_start: datetime, *, organisation_id: UUID, now: datetime
) -> ProductView:
    """The product of a line, grade and window; made where the sweep has not made it yet.

    :raises UnknownLine, UnknownGrade: see there.
    """
    view = selectors.line_for(line, organisation_id)
    selectors.terms_of(market_id, grade)
    found = selectors.product_at(line, grade, window_start)
    if found is None:
        wanted = (Market.objects.get(id=market_id), ModelLine.objects.get(id=view.id), grade, window_start)
        catalogue.make([wanted], now=now)
        found = selectors.product_at(line, grade, window_start)
    assert found is not None
    return found
