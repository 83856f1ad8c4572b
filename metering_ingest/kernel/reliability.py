"""How far a provider's meter can be relied on, from what was compared and what was lost. Source: docs/reconciliation.md.

score = max(0, share − 0.02 × lost), where share = Σ w·matched ÷ Σ w·compared in micro-ST, lost = Σ w of disputes lost,
and w = 2^(−age ÷ 30 days). The interval is Wilson's at 95 % for as many requests as the weights are worth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext

HALF_LIFE_DAYS = 30
PENALTY = Decimal("0.02")
_Z = Decimal("1.96")
_PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Day:
    """One delivery day of a provider, `age` days ago: requests, and micro-ST compared and found equal."""

    age: int
    requests: int
    compared_micro_st: int
    matched_micro_st: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Reliability:
    """The score from 0 to 1 with its interval, and what it rests on."""

    score: Decimal
    low: Decimal
    high: Decimal
    requests: int
    lost: int


def reliability(days: Iterable[Day]) -> Reliability | None:
    """The score of a provider; None where nothing was compared yet."""
    known = list(days)
    with localcontext(prec=40):
        weights = [Decimal(2) ** (Decimal(-max(0, day.age)) / HALF_LIFE_DAYS) for day in known]
        weighted = list(zip(weights, known, strict=True))
        compared = sum((w * day.compared_micro_st for w, day in weighted), Decimal(0))
        if not compared:
            return None
        share = sum((w * day.matched_micro_st for w, day in weighted), Decimal(0)) / compared
        penalty = PENALTY * sum((w * day.lost for w, day in weighted), Decimal(0))
        count = sum((w * day.requests for w, day in weighted), Decimal(0))
        low, high = _wilson(share, max(count, Decimal(1)))
        score, low, high = (
            max(Decimal(0), value - penalty).quantize(_PLACES) for value in (share, min(low, share), max(high, share))
        )
    return Reliability(score, low, high, sum(day.requests for day in known), sum(day.lost for day in known))


def _wilson(share: Decimal, count: Decimal) -> tuple[Decimal, Decimal]:
    square = _Z * _Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = _Z / (1 + square / count) * ((share * (1 - share) + square / (4 * count)) / count).sqrt()
    return max(Decimal(0), middle - spread), min(Decimal(1), middle + spread)
