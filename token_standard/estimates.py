"""What a request, a trace or a mix would cost, with an interval and the method that it comes from.

The bill is exact: it follows from the counts and the card. The interval says where the cost might be found if it were
measured, that is, how far a later correction of the card could move it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from token_standard import usage
from token_standard.cards import Card, Priced
from token_standard.graphs import Counted
from token_standard.version import MICRO

# Errors of the formula against measured servers; docs/standard-token.md, "How good an estimate is".
DENSE_ERROR = Fraction(29, 100)  # at the 90th percentile
CORRECTED_ERROR = Fraction(30, 100)
# Uncorrected experts are valued from 59 % too low to 15 % too high.
EXPERTS_LOW, EXPERTS_HIGH = 1 / Fraction(115, 100), 1 / Fraction(41, 100)


@dataclass(frozen=True)
class Interval:
    """Bounds on a cost in ST, and where they come from."""

    low: Fraction
    high: Fraction
    method: str


@dataclass(frozen=True)
class Estimate:
    """The cost of some requests: exact, as invoiced, and its interval."""

    total: usage.Total
    interval: Interval


def estimate(priced: Priced, requests: Iterable[tuple[int, int, int]]) -> Estimate:
    """Value requests of (n, c, g).

    :raises NegativeUsage: a count below zero.
    """
    total = usage.total(priced, requests)
    return Estimate(total, interval(priced, total.exact))


def weighted(priced: Priced, rows: Iterable[tuple[int, int, int, int]]) -> Estimate:
    """Value requests of (n, c, g), each so many times: (n, c, g, count). Micro-ST are rounded per request, as billed.

    :raises NegativeUsage: a count below zero.
    """
    sums = usage.Total(0, 0, 0, 0, Fraction(0), 0)
    for n, c, g, count in rows:
        if count < 0:
            raise usage.NegativeUsage("a number of requests must not be below zero")
        one = usage.total(priced, [(n, c, g)])
        sums = usage.Total(
            sums.requests + count, sums.uncached + n * count, sums.cached + c * count, sums.generated + g * count,
            sums.exact + one.exact * count, sums.micro_st + one.micro_st * count,
        )  # fmt: skip
    return Estimate(sums, interval(priced, sums.exact))


def of_runs(st: Fraction, runs: int) -> Estimate:
    """So many runs of a program of fixed shapes that costs ``st`` each."""
    exact = st * runs
    total = usage.Total(runs, 0, 0, 0, exact, round(st * MICRO) * runs)
    return Estimate(total, around_closed_form(exact))


def interval(priced: Priced, st: Fraction) -> Interval:
    """Where a cost of ``st`` might be found if it were measured."""
    experts = priced.experts if isinstance(priced, Counted) else _has_experts(priced)
    corrected = isinstance(priced, Card) and not priced.mu_p == priced.mu_d == 1
    if corrected:
        return _around(st, CORRECTED_ERROR, "published corrections, which must give their evidence within 30 %")
    if experts:
        method = "routed experts without a correction, which are valued from 59 % too low to 15 % too high"
        return Interval(st * EXPERTS_LOW, st * EXPERTS_HIGH, method)
    if isinstance(priced, Card) and priced.architecture.linear is not None:
        method = "closed form: the 29 % of models without linear attention; none with it was measured"
        return _around(st, DENSE_ERROR, method)
    return around_closed_form(st)


def around_closed_form(st: Fraction) -> Interval:
    """The interval of the closed form for models without routed experts."""
    return _around(st, DENSE_ERROR, "closed form: nine in ten measured windows lie within 29 %")


def _around(st: Fraction, error: Fraction, method: str) -> Interval:
    return Interval(st * (1 - error), st * (1 + error), method)


def _has_experts(priced: Priced) -> bool:
    return isinstance(priced, Card) and priced.architecture.experts is not None
