"""What standard tokens cost at a price, exactly, and as decimals."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from token_standard.estimates import Estimate
from token_standard.figures import decimal, significant
from token_standard.version import MICRO

_PLACES = 9


@dataclass(frozen=True)
class Cost:
    """Yuan for an estimate at one price: as invoiced, and at both ends of its interval."""

    amount: Fraction
    low: Fraction
    high: Fraction


def cost(found: Estimate, price_micros: int) -> Cost:
    """An estimate's cost at micro-yuan per million ST."""
    yuan_per_st = Fraction(price_micros, MICRO * MICRO)
    invoiced = Fraction(found.total.micro_st, MICRO)
    return Cost(invoiced * yuan_per_st, found.interval.low * yuan_per_st, found.interval.high * yuan_per_st)


def yuan_text(amount: Fraction) -> str:
    """Yuan for programs: nine decimals, rounded half to even."""
    return decimal(amount, _PLACES)


def yuan_shown(amount: Fraction) -> str:
    """Yuan for people: two decimals from one fen, below that four significant figures, never 0.00 for something."""
    if amount and amount < Fraction(1, 100):
        return significant(amount)
    return f"{round(amount * 100) / 100:,.2f}" if amount < 10**12 else decimal(amount, 2)
