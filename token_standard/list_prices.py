"""What vendors ask for their tokens: dated rows as published, with their source. Never a price of this market.

A row says in which currency and for how many tokens it was published, and how its day is known: written on the page,
noted by whoever recorded it, or the day on which the stored page was read. ``declared`` is a figure that somebody
claims without a list to point to; one that names no vendor and no model is a :class:`Claim`, apart from the rows. No
row is converted between currencies: there is no exchange rate of money here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from token_standard import exchange
from token_standard.errors import TokenStandardError
from token_standard.exchange import KINDS, Kind

MILLION = 10**6
UNITS = {"1M": MILLION, "1k": 1000, "1": 1}
STATES = ("published", "declared")
DATED = ("page", "record", "read")
CURRENCIES = ("CNY", "USD")


class ListPriceError(TokenStandardError):
    """A row that is no list price."""

    code = "list_price_error"


@dataclass(frozen=True)
class ListPrice:
    """A vendor's price of one kind of token. ``price`` is per ``UNITS[unit]`` tokens, exactly as published.

    ``card`` is ``MODEL/FORMAT`` of the catalogue where the model's shape is public, else None; ``via`` names who
    recorded the page where it was not read itself.
    """

    vendor: str
    model: str
    card: str | None
    kind: Kind
    price: Decimal
    currency: str
    unit: str
    day: date
    dated: Literal["page", "record", "read"]
    state: Literal["published", "declared"]
    source: str
    via: str | None
    note: str

    @property
    def per_million(self) -> Fraction:
        """The price of a million of these tokens, in its own currency."""
        return Fraction(self.price) * MILLION / UNITS[self.unit]

    @property
    def per_million_st(self) -> Fraction | None:
        """What a million ST would cost at this price, at the reference context; None where no shape is public."""
        st = self._st()
        return None if st is None else self.per_million / st

    def _st(self) -> Fraction | None:
        if self.card is None:
            return None
        return exchange.rate(f"{self.card}:{self.kind}@{exchange.REFERENCE_CONTEXT}", self.day).st


@dataclass(frozen=True)
class Claim:
    """What a token was said to cost, ``low`` to ``high`` for ``UNITS[unit]`` of them, without a list behind it.

    It has no day, no kind of token and no model, and nothing is ever worked out from it.
    """

    low: Decimal
    high: Decimal
    currency: str
    unit: str
    year: int
    source: str
    note: str

    @property
    def state(self) -> str:
        return "declared"


@dataclass(frozen=True)
class Offer:
    """The prices of one model on one list: the rows of its kinds, of which any may be missing."""

    rows: Mapping[str, ListPrice]

    @property
    def head(self) -> ListPrice:
        """Any row: vendor, model, day and source are the same in all."""
        return next(iter(self.rows.values()))


@cache
def list_prices() -> tuple[ListPrice, ...]:
    """All rows, as they stand in the file."""
    return tuple(map(from_json, _table()["rows"]))


@cache
def claims() -> tuple[Claim, ...]:
    """Figures that were named without a list, as they stand in the file."""
    return tuple(map(claim_from_json, _table()["declared"]))


@cache
def published(currency: str) -> tuple[Fraction, Fraction]:
    """The least and the most that published lists in a currency ask for a million tokens of any kind.

    :raises ListPriceError: no list is in this currency.
    """
    found = [row.per_million for row in list_prices() if row.currency == currency and row.state == "published"]
    if not found:
        raise ListPriceError(f"no list is in {currency}")
    return min(found), max(found)


@cache
def _table() -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(files("token_standard").joinpath("list_prices.json").read_text(encoding="utf-8"))
    return plain


def offers(rows: Iterable[ListPrice] | None = None) -> list[Offer]:
    """Rows put together by vendor, model and list; newest list first within a model."""
    found: dict[tuple[str, str, date, str, str], dict[str, ListPrice]] = {}
    for row in list_prices() if rows is None else rows:
        found.setdefault((row.vendor, row.model, row.day, row.currency, row.source), {})[row.kind] = row
    made = [Offer(by_kind) for by_kind in found.values()]
    return sorted(made, key=lambda one: (one.head.vendor, one.head.model, -one.head.day.toordinal(), one.head.currency))


def of_model(model: str) -> list[Offer]:
    """Lists of the models that have a card of this catalogue model, in whichever format; corrected cards count too."""
    names = {model, f"{model}-mu1"}
    return offers([row for row in list_prices() if row.card is not None and row.card.split("/")[0] in names])


def from_json(plain: Mapping[str, Any]) -> ListPrice:
    """One row.

    :raises ListPriceError: a field is missing or cannot be.
    """
    try:
        row = ListPrice(
            vendor=str(plain["vendor"]), model=str(plain["model"]), card=plain["card"], kind=plain["kind"],
            price=Decimal(plain["price"]), currency=plain["currency"], unit=plain["unit"],
            day=date.fromisoformat(plain["date"]), dated=plain["dated"], state=plain["state"],
            source=str(plain["source"]), via=plain["via"], note=str(plain["note"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise ListPriceError(f"not a list price: {error!r}") from error
    known = row.kind in KINDS and row.unit in UNITS and row.currency in CURRENCIES
    if not known or row.state not in STATES or row.dated not in DATED or row.price <= 0 or not row.source:
        raise ListPriceError(f"not a list price: {row.vendor} {row.model} {row.kind}")
    return row


def to_json(row: ListPrice) -> dict[str, Any]:
    """Plain JSON values; :func:`from_json` gives the same row back."""
    return {
        "vendor": row.vendor, "model": row.model, "card": row.card, "kind": row.kind, "price": str(row.price),
        "currency": row.currency, "unit": row.unit, "date": row.day.isoformat(), "dated": row.dated,
        "state": row.state, "source": row.source, "via": row.via, "note": row.note,
    }  # fmt: skip


def claim_from_json(plain: Mapping[str, Any]) -> Claim:
    """One figure without a list.

    :raises ListPriceError: a field is missing or cannot be.
    """
    try:
        claim = Claim(
            low=Decimal(plain["low"]), high=Decimal(plain["high"]), currency=plain["currency"], unit=plain["unit"],
            year=int(plain["year"]), source=str(plain["source"]), note=str(plain["note"]),
        )  # fmt: skip
        known = plain["state"] == claim.state and claim.unit in UNITS and claim.currency in CURRENCIES
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise ListPriceError(f"not a figure: {error!r}") from error
    if not known or not claim.source or not 0 < claim.low <= claim.high:
        raise ListPriceError(f"not a figure: {claim.source}")
    return claim


def claim_to_json(claim: Claim) -> dict[str, Any]:
    """Plain JSON values; :func:`claim_from_json` gives the same figure back."""
    return {
        "low": str(claim.low), "high": str(claim.high), "currency": claim.currency, "unit": claim.unit,
        "year": claim.year, "state": claim.state, "source": claim.source, "note": claim.note,
    }  # fmt: skip
