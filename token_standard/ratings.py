"""How many standard tokens a second a deployment makes: two calibration runs at load, solved for two prices.

ST is additive, so the GPU-seconds of a run are too: ``seconds = rho_c * ST_c + rho_m * ST_m``, where a request's ST is
split into what it computes (ST_c) and what it moves (ST_m). Two runs of unlike shape give both rho. Exact and
deterministic: the same runs give the same rating everywhere. Source: docs/ratings.md.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from math import isqrt, lcm
from typing import NamedTuple

from token_standard import usage
from token_standard.cards import Attending, Card, Coefficients, Scaled, coefficients, scaled
from token_standard.errors import TokenStandardError
from token_standard.version import VERSIONS

STANDARD_SHAPES = ((2048, 128), (128, 2048))  # prompt and generated tokens: heavy on computing, heavy on memory
FEWEST_REQUESTS = 16  # of a run
FEWEST_WINDOWS = 4  # of a run; they are what the intervals are drawn from
NEAR_SHAPE = Fraction(10, 100)  # how far a run's mean counts may lie from the standard shape they are called by
LEAST_SEPARATION = Fraction(10, 100)  # between the memory shares of the most unlike runs; errors grow by its inverse
MOST_CACHED = Fraction(5, 100)  # of a run's prompt tokens
MOST_RESIDUAL = Fraction(20, 100)  # root mean square of a run's relative error
RESAMPLES = 1_000
TAIL = Fraction(25, 1000)  # on each side: a 95 % interval
SEED = 1

# What the blended figure is of: two chats to one completion of code, the mean requests of the Azure traces of 2023.
MIX_NAME = "azure-2023"
MIX = ((1155, 0, 211, 2), (2048, 0, 28, 1))

# Student's t at 97.5 % in thousandths, by degrees of freedom; few windows know little of their own spread.
_STUDENT = {3: 3182, 4: 2776, 5: 2571, 6: 2447, 7: 2365, 8: 2306, 9: 2262, 11: 2201, 14: 2145, 19: 2093, 29: 2045}
_NORMAL = 1960


class RatingError(TokenStandardError):
    """Runs that give no rating."""

    code = "rating_error"


class TooFewRequests(RatingError):
    code = "too_few_requests"


class TooFewWindows(RatingError):
    code = "too_few_windows"


class TooFewRuns(RatingError):
    code = "too_few_runs"


class NoTokens(RatingError):
    code = "no_tokens"


class BadCounts(RatingError):
    code = "bad_counts"


class BadSeconds(RatingError):
    code = "bad_seconds"


class PromptsCached(RatingError):
    code = "prompts_cached"


class NotSeparable(RatingError):
    code = "shapes_not_separable"


class RunsDisagree(RatingError):
    code = "runs_disagree"


class Parts(NamedTuple):
    """A request's ST by what it costs: computing and moving bytes. They add up to its ST, exactly."""

    compute: Fraction
    memory: Fraction

    @property
    def total(self) -> Fraction:
        return self.compute + self.memory


class Requests(NamedTuple):
    """So many requests with these counts: uncached and cached prompt tokens, generated ones."""

    n: int
    c: int
    g: int
    times: int


@dataclass(frozen=True)
class Window:
    """What a saturated engine finished between two instants; ``gpu_seconds`` is their distance times the devices."""

    gpu_seconds: Fraction
    requests: tuple[Requests, ...]

    @property
    def count(self) -> int:
        return sum(each.times for each in self.requests)


@dataclass(frozen=True)
class Run:
    """One shape at load, window by window. ``limit`` is what a request was allowed to generate."""

    prompt: int
    limit: int
    windows: tuple[Window, ...]

    @property
    def gpu_seconds(self) -> Fraction:
        return sum((window.gpu_seconds for window in self.windows), Fraction(0))

    @property
    def totals(self) -> Requests:
        """Σ n, Σ c, Σ g and the number of requests."""
        every = [each for window in self.windows for each in window.requests]
        n, c, g = (sum(getattr(each, kind) * each.times for each in every) for kind in ("n", "c", "g"))
        return Requests(n, c, g, sum(each.times for each in every))


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval. ``high`` None is without bound, and ``point`` None with it."""

    point: Fraction | None
    low: Fraction
    high: Fraction | None


@dataclass(frozen=True)
class Cost:
    """GPU-seconds of one ST with a 95 % interval; ``rate`` is the same as ST a second of one device."""

    point: Fraction
    low: Fraction
    high: Fraction

    @property
    def rate(self) -> Interval:
        """1/rho. A cost that may be nothing leaves the rate without bound."""
        return Interval(
            point=1 / self.point if self.point else None,
            low=1 / self.high if self.high else Fraction(0),
            high=1 / self.low if self.low else None,
        )


@dataclass(frozen=True)
class Rating:
    """What the runs say. ``compute`` and ``memory`` are rho of either part, ``blended`` that of the mix ``MIX_NAME``.

    ``separation`` is how far the memory shares of the most unlike runs lie apart, ``residual`` the root mean square of
    the runs' relative error, ``reduced`` that other shapes than the standard ones were run.
    """

    compute: Cost
    memory: Cost
    blended: Cost
    separation: Fraction
    residual: Fraction
    reduced: bool


@dataclass(frozen=True)
class _Bytes:
    """What a card's requests move, valued like a card."""

    coefficients: Coefficients

    @cached_property
    def scaled(self) -> Scaled:
        return scaled(self.coefficients)


class _Row(NamedTuple):
    compute: Fraction
    memory: Fraction
    seconds: Fraction


def parts(card: Card, *, n: int, c: int, g: int) -> Parts:
    """Split a request's exact ST into its FLOP part and its byte part, corrections inside.

    :raises NegativeUsage: a count below zero.
    """
    memory = usage.st(_bytes(card), n=n, c=c, g=g)
    return Parts(usage.st(card, n=n, c=c, g=g) - memory, memory)


def window_parts(card: Card, requests: Sequence[Requests]) -> Parts:
    """The parts of many requests, summed.

    :raises BadCounts: a count that cannot be.
    """
    compute = memory = Fraction(0)
    for each in requests:
        if min(each.n, each.c, each.g) < 0 or each.times < 1:
            raise BadCounts(f"counts must not be below zero, got {tuple(each)}")
        one = parts(card, n=each.n, c=each.c, g=each.g)
        compute, memory = compute + one.compute * each.times, memory + one.memory * each.times
    return Parts(compute, memory)


def mix_parts(card: Card) -> Parts:
    """The shares of computing and memory in the ST of the fixed mix; they add up to one."""
    both = window_parts(card, [Requests(*each) for each in MIX])
    return Parts(both.compute / both.total, both.memory / both.total)


def solve(card: Card, runs: Sequence[Run], *, seed: int = SEED) -> Rating:
    """The rating that these runs give, with 95 % intervals by bootstrap over each run's windows.

    :raises TooFewRuns, TooFewRequests, TooFewWindows: less than two runs, 16 requests or 4 windows of a run.
    :raises NoTokens, BadCounts, BadSeconds, PromptsCached: a run that cannot be, or was read from a prefix cache.
    :raises NotSeparable: the shapes are too alike to tell computing from memory.
    :raises RunsDisagree: no two costs explain the runs.
    """
    if len(runs) < 2:
        raise TooFewRuns(f"{len(runs)} runs are too few: at least 2, of unlike shape")
    sampled = [_rows(card, run) for run in runs]
    rows = [_sum(each) for each in sampled]
    shares = [row.memory / (row.compute + row.memory) for row in rows]
    separation = max(shares) - min(shares)
    if separation < LEAST_SEPARATION:
        raise NotSeparable(
            f"the memory shares of the runs lie {float(separation * 100):.1f} % apart, at least "
            f"{LEAST_SEPARATION * 100} % are needed: run one shape with a long prompt and one with a long answer"
        )
    costs = fit(rows)
    residual = _residual(rows, costs)
    if residual > MOST_RESIDUAL * MOST_RESIDUAL:
        raise RunsDisagree(
            f"the runs disagree by {float(residual) ** 0.5 * 100:.0f} %: was the engine at load in both?"
        )
    share = mix_parts(card)
    blended = costs[0] * share.compute + costs[1] * share.memory
    drawn = _resampled(sampled, seed)
    widening = _widening(min(map(len, sampled)))
    return Rating(
        compute=_interval(costs[0], [each[0] for each in drawn], widening),
        memory=_interval(costs[1], [each[1] for each in drawn], widening),
        blended=_interval(blended, [x * share.compute + y * share.memory for x, y in drawn], widening),
        separation=separation,
        residual=_root(residual),
        reduced=_reduced(runs),
    )


def fit(rows: Sequence[tuple[Fraction, Fraction, Fraction]]) -> tuple[Fraction, Fraction]:
    """Costs x, y ≥ 0 of rows (compute, memory, seconds) with the least squared relative error; closed form.

    Either both are above zero and solve the normal equations, or the better of the two edges is the answer.
    """
    scaled_rows = [(c / s, m / s) for c, m, s in rows]
    cc = sum((c * c for c, _ in scaled_rows), Fraction(0))
    mm = sum((m * m for _, m in scaled_rows), Fraction(0))
    cm = sum((c * m for c, m in scaled_rows), Fraction(0))
    sum_c = sum((c for c, _ in scaled_rows), Fraction(0))
    sum_m = sum((m for _, m in scaled_rows), Fraction(0))
    determinant = cc * mm - cm * cm
    if determinant:
        x, y = (sum_c * mm - sum_m * cm) / determinant, (sum_m * cc - sum_c * cm) / determinant
        if x >= 0 and y >= 0:
            return x, y
    zero = Fraction(0)
    # What an edge explains is the squared sum over the sum of squares; the better edge explains more.
    by_compute, by_memory = (sum_c * sum_c / cc if cc else zero), (sum_m * sum_m / mm if mm else zero)
    return (sum_c / cc, zero) if by_compute >= by_memory else (zero, sum_m / mm)


@lru_cache(maxsize=64)
def _bytes(card: Card) -> _Bytes:
    """Bytes are linear in w and v, and FLOPs know nothing of them: twice both adds the byte part once more."""
    version, form = VERSIONS[card.version], card.format
    work = card.architecture.work(expert_batch=version.expert_batch)
    twice = coefficients(work, replace(form, w=2 * form.w, v=2 * form.v), version, mu_p=card.mu_p, mu_d=card.mu_d)
    once = card.coefficients
    return _Bytes(
        Coefficients(
            a_p=twice.a_p - once.a_p,
            a_d=twice.a_d - once.a_d,
            attending=tuple(
                Attending(width=one.width, b_p=two.b_p - one.b_p, c_c=two.c_c - one.c_c, b_d=two.b_d - one.b_d)
                for one, two in zip(once.attending, twice.attending, strict=True)
            ),
        )
    )


def _rows(card: Card, run: Run) -> list[_Row]:
    """The run's windows as rows, once it is one that can be rated."""
    for window in run.windows:
        if window.gpu_seconds <= 0:
            raise BadSeconds("the GPU-seconds of a window must be above zero")
        if any(each.g > run.limit for each in window.requests):
            raise BadCounts(f"a request generated more than the {run.limit} tokens that it was allowed")
    rows = [_Row(*window_parts(card, window.requests), window.gpu_seconds) for window in run.windows]
    n, c, g, count = run.totals
    if count < FEWEST_REQUESTS:
        raise TooFewRequests(
            f"{count} requests of shape {run.prompt}/{run.limit} are too few: at least {FEWEST_REQUESTS}"
        )
    if len(rows) < FEWEST_WINDOWS or not all(window.requests for window in run.windows):
        raise TooFewWindows(f"a run needs at least {FEWEST_WINDOWS} windows with requests in each")
    if not n + c or not g:
        raise NoTokens(f"the run of shape {run.prompt}/{run.limit} has no prompt tokens, or generated none")
    if c > MOST_CACHED * (n + c):
        raise PromptsCached(f"{float(Fraction(c, n + c) * 100):.0f} % of the prompts came out of a prefix cache")
    return rows


def _sum(rows: Sequence[_Row]) -> _Row:
    return _Row(*(sum(column, Fraction(0)) for column in zip(*rows, strict=True)))


def _residual(rows: Sequence[_Row], costs: tuple[Fraction, Fraction]) -> Fraction:
    """Mean square of the rows' relative errors."""
    errors = [(costs[0] * row.compute + costs[1] * row.memory) / row.seconds - 1 for row in rows]
    return sum((each * each for each in errors), Fraction(0)) / len(rows)


def _root(square: Fraction) -> Fraction:
    """A square root to six decimals, rounded down."""
    return Fraction(isqrt(int(square * 10**12)), 10**6)


def _resampled(sampled: Sequence[Sequence[_Row]], seed: int) -> list[tuple[Fraction, Fraction]]:
    """Costs of runs whose windows are drawn again with replacement, run by run; summed as integers, which is quick."""
    chance = random.Random(seed)  # noqa: S311 - resampling, not a secret
    columns = list(zip(*(row for rows in sampled for row in rows), strict=True))
    scales = [lcm(*(value.denominator for value in column)) for column in columns]
    whole = [
        [tuple(int(value * scale) for value, scale in zip(row, scales, strict=True)) for row in rows]
        for rows in sampled
    ]

    def drawn(rows: Sequence[tuple[int, ...]]) -> _Row:
        sums = map(sum, zip(*chance.choices(rows, k=len(rows)), strict=True))
        return _Row(*(Fraction(total, scale) for total, scale in zip(sums, scales, strict=True)))

    return [fit([drawn(rows) for rows in whole]) for _ in range(RESAMPLES)]


def _widening(windows: int) -> Fraction:
    """By how much a percentile interval of few windows is too narrow: Student's t over the normal, and n over n − 1."""
    student = max(value for degrees, value in _STUDENT.items() if degrees >= min(windows - 1, max(_STUDENT)))
    return Fraction(student, _NORMAL) * _root(Fraction(windows, windows - 1))


def _interval(point: Fraction, drawn: list[Fraction], widening: Fraction) -> Cost:
    ordered = sorted(drawn)
    cut = int(TAIL * len(ordered))
    below, above = point - ordered[cut], ordered[-1 - cut] - point
    low = point - max(below, Fraction(0)) * widening
    return Cost(point, max(low, Fraction(0)), point + max(above, Fraction(0)) * widening)


def _reduced(runs: Sequence[Run]) -> bool:
    """Whether a standard shape is missing, by name or by what was really asked and answered."""

    def near(run: Run, prompt: int, generated: int) -> bool:
        n, c, g, count = run.totals
        return (
            abs(Fraction(n + c, count) - prompt) <= NEAR_SHAPE * prompt
            and abs(Fraction(g, count) - generated) <= NEAR_SHAPE * generated
        )

    return not all(any(near(run, *shape) for run in runs) for shape in STANDARD_SHAPES)
