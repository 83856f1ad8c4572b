"""Vendors' list prices as the pages show them: dated, with their source, beside our prices and never among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from urllib.parse import urlsplit

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from accounts.kernel import formats
from token_standard import exchange, list_prices
from token_standard.list_prices import Claim, ListPrice, Offer

_SIGNS = {"CNY": "¥", "USD": "$"}
_DATED: dict[str, str | Promise] = {
    "page": gettext_lazy("day on the list"),
    "record": gettext_lazy("day of the record"),
    "read": gettext_lazy("day on which the list was read"),
}


@dataclass(frozen=True)
class VendorRow:
    """One list's prices of one model, per million tokens in its own currency; `st` per million ST at the reference context."""

    vendor: str
    model: str
    state: str
    prices: tuple[str, ...]  # input, cached, output; a dash where the list has none
    st: str
    day: str
    dated: str | Promise
    source: str
    host: str
    via: str
    note: str


@dataclass(frozen=True)
class ClaimRow:
    """A figure that no list backs, for one token as it was named; what lists really ask stands per million beside it."""

    figure: str
    year: int
    published_low: str
    published_high: str


def claims(found: Iterable[Claim]) -> list[ClaimRow]:
    """Figures named a token, in words; one of another unit would need other words."""
    return [_claim(one) for one in found if one.unit == "1"]


def _claim(one: Claim) -> ClaimRow:
    sign = _SIGNS[one.currency]
    low, high = (sign + _exact(bound) for bound in list_prices.published(one.currency))
    return ClaimRow(f"{sign}{one.low}–{one.high}", one.year, low, high)


def rows(offers: list[Offer]) -> list[VendorRow]:
    """Rows for the table."""
    return [_row(one) for one in offers]


def _row(offer: Offer) -> VendorRow:
    head = offer.head
    return VendorRow(
        vendor=head.vendor,
        model=head.model,
        state=head.state,
        prices=tuple(_price(offer.rows.get(kind)) for kind in exchange.KINDS),
        st=_equivalent(offer),
        day=head.day.isoformat(),
        dated=_DATED[head.dated],
        source=head.source,
        host=urlsplit(head.source).hostname or "",
        via=head.via or "",
        note=head.note,
    )


def _price(row: ListPrice | None) -> str:
    return formats.NOTHING if row is None else _SIGNS[row.currency] + _exact(row.per_million)


def _equivalent(offer: Offer) -> str:
    """Per million ST, for input and output; the price of cached tokens is a discount, which ST know nothing of."""
    found = [row.per_million_st for kind, row in offer.rows.items() if kind != "cached"]
    known = sorted(one for one in found if one is not None)
    if not known:
        return formats.NOTHING
    low, high = (f"{float(one):,.2f}" for one in (known[0], known[-1]))
    sign = _SIGNS[offer.head.currency]
    return f"{sign}{low}" if low == high else f"{sign}{low}–{high}"


def _exact(amount: Fraction) -> str:
    """A finite decimal in full, with two places at least."""
    plain = Decimal(amount.numerator) / Decimal(amount.denominator)
    return f"{plain:,.2f}" if plain == round(plain, 2) else f"{plain.normalize():f}"
