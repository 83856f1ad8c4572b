"""Vendors' tokens in standard tokens: dated rates with source and bounds, and amounts converted through ST only.

A rate comes by definition, where model, context and format are published, or from the same requests metered both
ways. There are no cross rates, so any triangle closes exactly.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from token_standard import catalogue, usage
from token_standard.cards import Priced
from token_standard.errors import TokenStandardError
from token_standard.version import MICRO

STANDARD = "ST"
FEWEST_PAIRS = 30
RESAMPLES = 1000
TAIL = Fraction(25, 1000)  # on each side: a 95 % interval
WIDEST = Fraction(10, 100)  # of the rate; a wider interval is no rate
MOST_MOVED = Fraction(10, 100)  # of all tokens, between the mix fitted on and the mix converted
REFERENCE_CONTEXT = 2048

Kind = Literal["input", "cached", "output"]
KINDS: tuple[Kind, ...] = ("input", "cached", "output")


class RateError(TokenStandardError):
    """No such rate, or pairs that give none."""

    code = "rate_error"


class RateUnknown(RateError):
    """A vendor's token without a published shape or format: only metering the same requests both ways gives a rate."""

    code = "rate_unknown"


class MixDiffers(RateError):
    """A metered rate, and tokens of another mix than it was fitted on."""

    code = "mix_differs"


class TooWide(RateError):
    """Pairs whose interval is wider than a rate may have."""

    code = "interval_too_wide"


@dataclass(frozen=True)
class Mix:
    """Shares of uncached, cached and generated tokens, adding up to one."""

    input: Fraction
    cached: Fraction
    output: Fraction


@dataclass(frozen=True)
class Rate:
    """ST for one of a vendor's tokens, with bounds, from ``valid_from`` to before ``valid_until`` (None: open)."""

    token: str
    st: Fraction
    low: Fraction
    high: Fraction
    basis: Literal["definition", "metered"]
    source: str
    valid_from: date | None
    valid_until: date | None
    mix: Mix | None = None  # what a metered rate was fitted on
    dated: str = ""  # where the first day is written; empty for rates of a member's own and those without a first day

    def valid_on(self, day: date) -> bool:
        started = self.valid_from is None or self.valid_from <= day
        return started and (self.valid_until is None or day < self.valid_until)


@dataclass(frozen=True)
class Unknown:
    """A vendor's model without a rate, and why it has none."""

    token: str
    reason: str


@dataclass(frozen=True)
class Pair:
    """One request metered both ways: our counts, and the vendor's number of its own tokens."""

    uncached: int
    cached: int
    generated: int
    vendor: int


@dataclass(frozen=True)
class Converted:
    """An amount in another token, with bounds."""

    amount: Fraction
    low: Fraction
    high: Fraction


@cache
def rates() -> tuple[Rate, ...]:
    """The published table."""
    return tuple(map(_by_definition, _table()["rates"]))


@cache
def unknown() -> tuple[Unknown, ...]:
    """Vendors' models for which nothing published gives a rate: they need dual metering."""
    return tuple(Unknown(entry["token"], entry["reason"]) for entry in _table()["unknown"])


@cache
def _table() -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(files("token_standard").joinpath("exchange.json").read_text(encoding="utf-8"))
    return plain


def rate(token: str, day: date, *, more: Iterable[Rate] = ()) -> Rate:
    """The rate of a token on a day: ``ST``, a vendor's (``deepseek/deepseek-v3/output``), or a catalogue model's own,
    ``MODEL/FORMAT:KIND@CONTEXT`` with 2,048 as the usual context.

    :raises RateError: no such token, or no rate on that day (RateUnknown: a vendor that publishes too little). The
        catalogue's own errors for a model's token.
    """
    if token == STANDARD:
        one = Fraction(1)
        return Rate(STANDARD, one, one, one, "definition", "the standard token itself", None, None)
    named = [each for each in (*more, *rates()) if each.token == token]
    if named:
        for each in named:
            if each.valid_on(day):
                return each
        raise RateError(f"no rate of {token!r} is valid on {day}")
    for entry in unknown():
        if token == entry.token or token.startswith(f"{entry.token}/"):
            raise RateUnknown(f"{token}: unknown, needs dual metering: {entry.reason}")
    if ":" not in token:
        known = ", ".join(each.token for each in (*more, *rates()))
        raise RateError(f"no token {token!r}; known: {STANDARD}, {known}, or MODEL/FORMAT:KIND@CONTEXT")
    return _of_model(token)


def convert(amount: Fraction, source: Rate, target: Rate) -> Converted:
    """An amount of one token in another, through ST.

    :raises RateError: an amount below zero.
    """
    if amount < 0:
        raise RateError("an amount must not be below zero")
    return Converted(
        amount * source.st / target.st, amount * source.low / target.high, amount * source.high / target.low
    )


def fit(
    token: str,
    priced: Priced,
    pairs: Sequence[Pair],
    *,
    seed: int,
    source: str,
    valid_from: date,
    valid_until: date | None,
) -> Rate:
    """A rate from requests metered both ways: ΣST / Σ vendor tokens, with a bootstrap interval over requests.

    The same pairs and seed give the same rate everywhere.

    :raises RateError: too few pairs, counts that cannot be, or an interval wider than 10 % of the rate.
    """
    if len(pairs) < FEWEST_PAIRS:
        raise RateError(f"{len(pairs)} pairs are too few: at least {FEWEST_PAIRS}")
    if any(pair.vendor < 0 for pair in pairs) or not any(pair.vendor for pair in pairs):
        raise RateError("the vendor's tokens must not be below zero, nor all zero")
    micros = [usage.micro_st(priced, n=pair.uncached, c=pair.cached, g=pair.generated) for pair in pairs]
    vendor = [pair.vendor for pair in pairs]
    point = Fraction(sum(micros), sum(vendor) * MICRO)
    if not point:
        raise RateError("the requests cost nothing, so there is no rate")
    low, high = _bootstrap(micros, vendor, seed)
    if high - low > WIDEST * point:
        width = float((high - low) / point * 100)
        raise TooWide(f"the interval is {width:.1f} % of the rate, wider than {WIDEST * 100} %: meter more requests")
    return Rate(token, point, low, high, "metered", source, valid_from, valid_until, mix(pairs))


def mix(pairs: Iterable[Pair]) -> Mix:
    """The shares of tokens by kind.

    :raises RateError: no tokens at all.
    """
    uncached = cached = generated = 0
    for pair in pairs:
        uncached, cached, generated = uncached + pair.uncached, cached + pair.cached, generated + pair.generated
    total = uncached + cached + generated
    if total <= 0:
        raise RateError("a mix needs tokens")
    return Mix(Fraction(uncached, total), Fraction(cached, total), Fraction(generated, total))


def check_mix(fitted: Rate, used: Mix) -> None:
    """Refuse a metered rate for a mix that it was not fitted on. A rate by definition has no mix.

    :raises RateError: a share differs by more than 10 % of all tokens.
    """
    if fitted.mix is None:
        return
    for kind in KINDS:
        moved = abs(getattr(fitted.mix, kind) - getattr(used, kind))
        if moved > MOST_MOVED:
            raise MixDiffers(f"{fitted.token} was fitted on another mix: {kind} differs by {float(moved * 100):.1f} %")


def to_json(each: Rate) -> dict[str, Any]:
    """Plain JSON values; :func:`from_json` gives the same rate back."""
    return {
        "token": each.token,
        "st": str(each.st),
        "low": str(each.low),
        "high": str(each.high),
        "basis": each.basis,
        "source": each.source,
        "valid_from": each.valid_from and each.valid_from.isoformat(),
        "valid_until": each.valid_until and each.valid_until.isoformat(),
        "mix": each.mix and [str(each.mix.input), str(each.mix.cached), str(each.mix.output)],
        **({"dated": each.dated} if each.dated else {}),
    }


def from_json(plain: Mapping[str, Any]) -> Rate:
    """Read what :func:`to_json` wrote.

    :raises RateError: missing or impossible fields.
    """
    try:
        st, low, high = (Fraction(plain[name]) for name in ("st", "low", "high"))
        start, end = (plain[name] and date.fromisoformat(plain[name]) for name in ("valid_from", "valid_until"))
        shares = plain["mix"] and Mix(*map(Fraction, plain["mix"]))
        if not 0 < low <= st <= high or plain["basis"] not in {"definition", "metered"}:
            raise ValueError("bounds must lie around a rate above zero, on a known basis")
        named, dated = str(plain["token"]), str(plain.get("dated", ""))
        return Rate(named, st, low, high, plain["basis"], str(plain["source"]), start, end, shares, dated)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise RateError(f"not a rate: {error}") from error


def _bootstrap(micros: Sequence[int], vendor: Sequence[int], seed: int) -> tuple[Fraction, Fraction]:
    chance = random.Random(seed)  # noqa: S311 - resampling, not a secret
    indices = range(len(micros))
    found = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(indices, k=len(micros))
        total = sum(vendor[i] for i in drawn)
        if total:
            found.append(Fraction(sum(micros[i] for i in drawn), total * MICRO))
    found.sort()
    cut = int(TAIL * len(found))
    return found[cut], found[-1 - cut]


def _by_definition(entry: Mapping[str, Any]) -> Rate:
    card, kind = catalogue.card(*entry["card"]), entry["kind"]
    if "context" in entry:
        st = _at(card, kind, entry["context"])
    else:  # a mean request, published with the model
        n, c, g = entry["request"]
        st = getattr(usage.shares(card, n=n, c=c, g=g), kind) / {"input": n, "cached": c, "output": g}[kind]
    low, high = map(Fraction, entry["bounds"])  # of the rate
    until = entry["valid_until"]
    return Rate(
        entry["token"], st, st * low, st * high, "definition", entry["source"],
        date.fromisoformat(entry["valid_from"]), until and date.fromisoformat(until), dated=entry["dated"],
    )  # fmt: skip


def _of_model(token: str) -> Rate:
    name, _, rest = token.partition(":")
    kind, _, context_text = rest.partition("@")
    model, _, form = name.partition("/")
    if kind not in KINDS or (context_text and not (context_text.isascii() and context_text.isdecimal())):
        raise RateError(f"{token!r} is not MODEL/FORMAT:KIND@CONTEXT; kinds: {', '.join(KINDS)}")
    card = catalogue.card(model, form or catalogue.DEFAULT_FORMAT)
    context = int(context_text or REFERENCE_CONTEXT)
    if not 0 < context <= 10**9:
        raise RateError(f"{token!r}: a context is a whole number of positions from 1 to 10^9")
    st = _at(card, kind, context)
    source = f"card {card.short_digest}, {card.version}, at {context} positions"
    return Rate(token, st, st, st, "definition", source, None, None)


def _at(card: Priced, kind: str, context: int) -> Fraction:
    if kind == "input":
        return usage.st_per_prompt(card, prompt=context)
    if kind == "cached":
        return usage.st(card, n=0, c=context, g=0) / context
    return usage.st_per_generated(card, context=context)
