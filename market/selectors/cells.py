"""Where capacity of a line was offered: what a bid may name of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from market.kernel.orders import Scope
from market.models import Cell

# A vendor or region without an offer for so long is not proposed any more; a bid may still name it.
RECENT = timedelta(days=7)


@dataclass(frozen=True)
class CellWords:
    """Vendors and regions, each by name."""

    vendors: tuple[str, ...]
    regions: tuple[str, ...]


def cell_words(line: str, grade: str, *, now: datetime) -> CellWords:
    """The vendors and regions in which this line and grade has cells, in windows of the last days or to come."""
    rows = Cell.objects.filter(product__line__slug=line, product__grade=grade, product__window_start__gte=now - RECENT)
    found = set(rows.values_list("vendor", "region").distinct())
    return CellWords(tuple(sorted({vendor for vendor, _ in found})), tuple(sorted({region for _, region in found})))


def cells_within(scope: Scope, product_ids: Collection[UUID]) -> frozenset[bytes]:
    """The bytes of the ids of those cells of these products that a bid accepts."""
    rows = Cell.objects.filter(product_id__in=list(product_ids), data_terms__in=scope.data_terms)
    for column, wanted in (("vendor", scope.vendors), ("region", scope.regions), ("tier", scope.tiers)):
        if wanted:
            rows = rows.filter(**{f"{column}__in": wanted})
    return frozenset(one.bytes for one in rows.values_list("id", flat=True))
