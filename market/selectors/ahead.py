"""What a line costs now and in the hours ahead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from market.kernel import windows
from market.selectors.catalogue import ProductView, products
from market.selectors.offered import best_offers
from market.selectors.reference import quotes

Basis = Literal["last_trade", "best_offer"]


@dataclass(frozen=True)
class HourPrice:
    """The price of one open hour, in micro-yuan per million ST, and what it is."""

    product: ProductView
    price_micros: int
    basis: Basis


def hours_ahead(line: str, grade: str, *, organisation_id: UUID | None, now: datetime) -> list[HourPrice]:
    """Open hours of a line and grade that have a price, cheapest first: by best offer, else by the last trade."""
    found = products(line, now, grade=grade, organisation_id=organisation_id)
    offers, known = best_offers(found, now=now), quotes(found, now=now)
    hours = []
    for one in found:
        offer, last = offers.get(one.id), known[one.id].last_price_micros
        if offer is not None:
            hours.append(HourPrice(one, offer, "best_offer"))
        elif last is not None:
            hours.append(HourPrice(one, last, "last_trade"))
    return sorted(hours, key=lambda hour: (hour.price_micros, hour.product.window_start))


def price_now(line: str, grade: str, *, organisation_id: UUID | None, now: datetime) -> HourPrice | None:
    """The market's price of the current hour: its last trade, else its best offer. A list price is none."""
    start = windows.current(now)[0]
    found = [
        one for one in products(line, now, grade=grade, organisation_id=organisation_id) if one.window_start == start
    ]
    for one in found:
        last = quotes([one], now=now)[one.id].last_price_micros
        if last is not None:
            return HourPrice(one, last, "last_trade")
        offer = best_offers([one], now=now).get(one.id)
        if offer is not None:
            return HourPrice(one, offer, "best_offer")
    return None
