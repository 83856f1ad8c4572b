"""Vendors' tokens in each other, and rates out of requests metered both ways. Nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from market.kernel.errors import MarketError
from token_standard import catalogue, exchange, list_prices, pairs
from token_standard.errors import TokenStandardError
from token_standard.exchange import Converted, Mix, Pair, Rate

MOST_PAIRS = 5_000
LARGEST_PAIRS = 512 * 1024


class BadConversion(MarketError):
    """No such token, no rate on that day, or pairs that give none; details: `field`."""

    code = "rate_error"


@dataclass(frozen=True)
class Conversion:
    """An amount of one token in another, by these two rates on this day."""

    amount: Fraction
    source: Rate
    target: Rate
    day: date
    result: Converted


@dataclass(frozen=True)
class Fitted:
    """A rate, with what both sides need to find it again: the seed, and the digest of the pairs."""

    rate: Rate
    seed: int
    pairs: int
    digest: str
    card_digest: str


def convert(amount: Fraction, source: str, target: str, *, day: date, mix: Mix | None = None) -> Conversion:
    """An amount of one token in another.

    :raises BadConversion: see there; its code is `rate_unknown` for vendors that publish too little.
    """
    found = {}
    for field, name in (("from", source), ("to", target)):
        try:
            found[field] = exchange.rate(name, day)
        except TokenStandardError as error:
            raise _refused(error, field) from error
    try:
        if mix is not None:
            for rate in found.values():
                exchange.check_mix(rate, mix)
        result = exchange.convert(amount, found["from"], found["to"])
    except TokenStandardError as error:
        raise _refused(error, "mix" if error.code == "mix_differs" else "amount") from error
    return Conversion(amount, found["from"], found["to"], day, result)


def read_pairs(raw: bytes, name: str) -> list[Pair]:
    """The pairs of a CSV file that was sent.

    :raises BadConversion: it is none.
    """
    try:
        return pairs.read_bytes(raw, name, most=MOST_PAIRS)
    except TokenStandardError as error:
        raise _refused(error, "pairs") from error


def fit(
    given: Sequence[Pair], *, token: str, card: str, seed: int, source: str, valid_from: date,
    valid_until: date | None = None, mix: Mix | None = None,
) -> Fitted:  # fmt: skip
    """A rate from requests metered both ways; with a mix, one that may be used for it.

    :raises BadConversion: no such card, too few pairs, an interval wider than 10 %, or another mix.
    """
    model, _, form = card.partition("/")
    try:
        found = catalogue.card(model, form or catalogue.DEFAULT_FORMAT)
    except TokenStandardError as error:
        raise _refused(error, "card") from error
    try:
        rate = exchange.fit(
            token, found, given, seed=seed, source=source, valid_from=valid_from, valid_until=valid_until
        )
    except TokenStandardError as error:
        raise _refused(error, "pairs") from error
    try:
        if mix is not None:
            exchange.check_mix(rate, mix)
    except TokenStandardError as error:
        raise _refused(error, "mix") from error
    return Fitted(rate, seed, len(given), pairs.digest(given), found.digest)


def lists_of(model: str) -> list[list_prices.Offer]:
    """Vendors' list prices of a catalogue model."""
    return list_prices.of_model(model)


def _refused(error: TokenStandardError, field: str) -> BadConversion:
    """The refusal with the code of what refused."""
    found = BadConversion(str(error), field=field)
    found.code = error.code
    return found
