"""The reader's own orders on the curves of a product, and in a round: as bands, and in words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from accounts.kernel import formats, ids
from market import selectors
from market.kernel.levels import Level
from market.kernel.text import price_text
from market.services.certificates import OwnOrder
from market.web import labels

LEGEND = {"own": gettext_lazy("Your own bids"), "own sell": gettext_lazy("Your own offers")}


@dataclass(frozen=True)
class Band:
    """A step of a curve with an own order: its price (micro-yuan per million ST), and from where to where it lies (ST)."""

    side: str
    price_micros: int
    start_st: int
    end_st: int

    @property
    def css(self) -> str:
        """Its class in the legend."""
        return "own" if self.side == "demand" else "own sell"

    @property
    def data(self) -> dict[str, str]:
        """What the chart draws, in million ST."""
        ends = {"from": price_text(self.start_st), "to": price_text(self.end_st)}  # millionths as plain decimals
        return {"side": self.side, **ends, "price": price_text(self.price_micros)}


def of(side: str, steps: Sequence[Level], limits: Collection[int]) -> list[Band]:
    """The steps of a curve, best first, that have an order with one of these limits.

    A curve may be thinned: then a step stands for all limits since the one before it.
    """
    found: list[Band] = []
    left, start = sorted(limits, reverse=side == "demand"), 0
    for price, end in steps:
        here = [one for one in left if (one >= price if side == "demand" else one <= price)]
        if here:
            found.append(Band(side, price, start, end))
            left = left[len(here) :]
        start = end
    return found


def told(bands: Sequence[Band]) -> str:
    """Where they lie, for those who do not see the chart."""
    lang = get_language() or "en"
    prices = [
        formats.unit_price_per_million(price, lang, unit="st") for price in dict.fromkeys(b.price_micros for b in bands)
    ]
    return _("Your own orders stand at %(prices)s.") % {"prices": ", ".join(prices)} if prices else ""


def row(name: str, side: str, price_micros: int, bands: Collection[Band]) -> str:
    """The head of a step's row in the table."""
    words = {"side": name, "price": formats.per_million_number(price_micros)}
    if any((one.side, one.price_micros) == (side, price_micros) for one in bands):
        return _("%(side)s %(price)s, with your own order") % words
    return "{side} {price}".format(**words)


def limits(own: Collection[OwnOrder], product_id: UUID) -> dict[str, set[int]]:
    """The limits of own orders in a product of a round, by side."""
    return {
        side: {
            part.limit_micros for one in own if one.side == side for part in one.parts if part.product_id == product_id
        }
        for side in ("buy", "sell")
    }


def rows(own: Sequence[OwnOrder]) -> list[dict[str, Any]]:
    """Own orders of a round, each with the product where it filled, else where its limit is highest."""
    products = selectors.products_many({part.product_id for one in own for part in one.parts})
    found = []
    for one in own:
        part = max(one.parts, key=lambda part: (part.filled_st, part.limit_micros))
        product = products[part.product_id]
        found.append(
            {
                "order": ids.encode("ord", one.order_id),
                "pseudonym": one.pseudonym,
                "side": labels.SIDES[one.side],
                "product": product,
                "grade": labels.grade(product.grade),
                "others": len(one.parts) - 1,
                "limit_micros": part.limit_micros,
                "quantity_st": one.quantity_st,
                "filled_st": sum(part.filled_st for part in one.parts),
            }
        )
    return found
