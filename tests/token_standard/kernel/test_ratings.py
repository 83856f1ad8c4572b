"""Splitting a request's ST into computing and memory, and solving calibration runs."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard import catalogue, ratings, usage
from token_standard.cards import Card, published_format
from token_standard.ratings import Requests, Run, Window, parts, solve
from token_standard.version import CURRENT

LLAMA_2 = catalogue.card("llama-2-7b")
LLAMA_3 = catalogue.card("llama-3-8b")
CARDS = catalogue.cards()
COMPUTE, MEMORY = Fraction(1, 900), Fraction(1, 500)

counts = st.integers(0, 5_000)
costs = st.fractions(Fraction(1, 10**6), 10, max_denominator=10**6)


def run(
    card: Card,
    shape: tuple[int, int],
    *,
    costs: tuple[Fraction, Fraction] = (COMPUTE, MEMORY),
    windows: int = 4,
    times: int = 8,
    noise: float = 0.0,
    seed: int = 0,
) -> Run:
    """A run as a deployment of these costs would make it; `noise` is the most by which a window's seconds are off."""
    chance = random.Random(seed)
    prompt, limit = shape
    requests = (Requests(prompt, 0, limit, times),)
    work = ratings.window_parts(card, requests)
    exact = costs[0] * work.compute + costs[1] * work.memory
    made = [
        Window(exact * (1 + Fraction(round(chance.uniform(-noise, noise) * 10**6), 10**6)), requests)
        for _ in range(windows)
    ]
    return Run(prompt, limit, tuple(made))


def both(card: Card = LLAMA_3, **options: object) -> list[Run]:
    return [run(card, shape, seed=number, **options) for number, shape in enumerate(ratings.STANDARD_SHAPES)]  # type: ignore[arg-type]


class TestParts:
    @given(st.sampled_from(CARDS), counts, counts, counts)
    def test_add_up_to_the_request(self, card: Card, n: int, c: int, g: int) -> None:
        both = parts(card, n=n, c=c, g=g)

        assert both.total == usage.st(card, n=n, c=c, g=g)
        assert min(both) >= 0

    @pytest.mark.parametrize("mu", [Fraction(11, 5), Fraction(1, 3)])
    def test_a_correction_scales_both(self, mu: Fraction) -> None:
        corrected = replace(LLAMA_3, mu_p=mu, mu_d=mu)

        plain, scaled = parts(LLAMA_3, n=700, c=30, g=90), parts(corrected, n=700, c=30, g=90)

        assert (scaled.compute, scaled.memory) == (plain.compute * mu, plain.memory * mu)
        assert scaled.total == usage.st(corrected, n=700, c=30, g=90)

    def test_are_those_of_the_standard_token_itself(self) -> None:
        """7.7 % computing, 92.3 % memory: the reference token of the definition."""
        token = parts(LLAMA_2, n=0, c=2047, g=1)
        before = parts(LLAMA_2, n=0, c=2047, g=0)

        compute, memory = token.compute - before.compute, token.memory - before.memory

        assert compute == CURRENT.reference_flops / CURRENT.flops_per_st
        assert compute + memory == 1
        assert round(float(compute), 3) == 0.077

    def test_a_faster_arithmetic_leaves_the_bytes_alone(self) -> None:
        fp16, fp8 = published_format("fp16"), published_format("fp8")
        mixed = replace(LLAMA_3, format=replace(fp16, name="mixed", pi=fp8.pi))

        slow, fast = parts(LLAMA_3, n=500, c=0, g=100), parts(mixed, n=500, c=0, g=100)

        assert slow.memory == fast.memory
        assert slow.compute > fast.compute

    def test_of_windows_follow_the_piecewise_sum(self) -> None:
        mistral = catalogue.card("mistral-7b-v0.1")

        both = parts(mistral, n=9_000, c=500, g=300)

        assert both.total == usage.st(mistral, n=9_000, c=500, g=300)

    def test_of_the_mix_are_shares(self) -> None:
        for card in CARDS:
            share = ratings.mix_parts(card)
            assert share.total == 1 and min(share) > 0


class TestSolve:
    @given(st.sampled_from([LLAMA_2, LLAMA_3, *CARDS[-4:]]), costs, costs)
    def test_recovers_the_costs_that_made_the_runs(self, card: Card, compute: Fraction, memory: Fraction) -> None:
        rows = []
        for shape in ratings.STANDARD_SHAPES:
            made = run(card, shape, costs=(compute, memory))
            work = parts(card, n=shape[0], c=0, g=shape[1])
            rows.append((work.compute * 32, work.memory * 32, made.gpu_seconds))

        assert ratings.fit(rows) == (compute, memory)

    def test_exact_runs_have_no_width_and_no_residual(self) -> None:
        rating = solve(LLAMA_3, both())

        assert rating.compute.rate == ratings.Interval(Fraction(900), Fraction(900), Fraction(900))
        assert rating.memory.rate == ratings.Interval(Fraction(500), Fraction(500), Fraction(500))
        share = ratings.mix_parts(LLAMA_3)
        assert rating.blended.point == COMPUTE * share.compute + MEMORY * share.memory
        assert (rating.residual, rating.reduced) == (0, False)

    def test_twice_the_time_is_half_the_rate(self) -> None:
        slow = [
            replace(one, windows=tuple(replace(w, gpu_seconds=w.gpu_seconds * 2) for w in one.windows))
            for one in both(noise=0.05)
        ]

        fast_rating, slow_rating = solve(LLAMA_3, both(noise=0.05)), solve(LLAMA_3, slow)

        for name in ("compute", "memory", "blended"):
            fast, twice = getattr(fast_rating, name), getattr(slow_rating, name)
            assert (twice.point, twice.low, twice.high) == (fast.point * 2, fast.low * 2, fast.high * 2)

    def test_says_the_same_of_the_same_runs(self) -> None:
        assert solve(LLAMA_3, both(noise=0.1)) == solve(LLAMA_3, both(noise=0.1))

    def test_intervals_hold_the_truth_about_as_often_as_they_say(self) -> None:
        held = 0
        for seed in range(40):
            runs = [
                run(LLAMA_3, shape, noise=0.1, windows=6, seed=seed * 10 + number)
                for number, shape in enumerate(ratings.STANDARD_SHAPES)
            ]
            cost = solve(LLAMA_3, runs).blended
            share = ratings.mix_parts(LLAMA_3)
            held += cost.low <= COMPUTE * share.compute + MEMORY * share.memory <= cost.high

        assert held >= 36

    def test_gives_the_figures_of_the_document(self) -> None:
        """docs/ratings.md, "A worked example"."""

        def timed(n: int, g: int, seconds: str) -> Run:
            windows = (Window(Fraction(each), (Requests(n, 0, g, 32),)) for each in seconds.split())
            return Run(n, g, tuple(windows))

        rating = solve(LLAMA_3, [timed(2048, 128, "10.4 10.6 10.5 10.5"), timed(128, 2048, "64.1 63.7 64.0 64.2")])

        def rounded(cost: ratings.Cost) -> list[int]:
            rate = cost.rate
            return [round(value or 0) for value in (rate.point, rate.low, rate.high)]

        assert rounded(rating.compute) == [1014, 987, 1043]
        assert rounded(rating.memory) == [313, 311, 315]
        assert rounded(rating.blended) == [633, 626, 640]
        work = [parts(LLAMA_3, n=n, c=0, g=g) for n, g in ratings.STANDARD_SHAPES]
        assert [[round(float(part), 3) for part in one] for one in work] == [[170.917, 49.901], [181.776, 569.514]]

    def test_noise_widens_the_interval(self) -> None:
        calm, rough = solve(LLAMA_3, both(noise=0.01)).blended, solve(LLAMA_3, both(noise=0.1)).blended

        assert rough.high - rough.low > calm.high - calm.low > 0

    def test_costs_are_never_below_zero(self) -> None:
        """A decode run that takes no longer than its computing share leaves memory free."""
        runs = both(costs=(COMPUTE, Fraction(0)))
        quicker = replace(
            runs[1], windows=tuple(replace(w, gpu_seconds=w.gpu_seconds * Fraction(9, 10)) for w in runs[1].windows)
        )

        rating = solve(LLAMA_3, [runs[0], quicker])

        assert (rating.memory.point, rating.memory.rate.point, rating.memory.rate.high) == (0, None, None)
        assert rating.compute.point > 0 and rating.residual > 0

    @given(
        st.lists(st.tuples(costs, costs, costs), min_size=2, max_size=5),
        st.tuples(st.fractions(0, 10), st.fractions(0, 10)),
    )
    def test_no_other_costs_fit_better(
        self, rows: list[tuple[Fraction, Fraction, Fraction]], other: tuple[Fraction, Fraction]
    ) -> None:
        def badness(x: Fraction, y: Fraction) -> Fraction:
            return sum(((x * c + y * m) / s - 1) ** 2 for c, m, s in rows)  # type: ignore[return-value]

        found = ratings.fit(rows)

        assert min(found) >= 0
        assert badness(*found) <= badness(*other)

    def test_a_third_run_is_taken_in(self) -> None:
        rating = solve(LLAMA_3, [*both(), run(LLAMA_3, (512, 512), noise=0.05)])

        assert rating.residual > 0
        assert abs(rating.compute.point - COMPUTE) < COMPUTE / 10

    @pytest.mark.parametrize(
        ("shapes", "reduced"), [(((2000, 130), (128, 2048)), False), (((204, 12), (12, 204)), True)]
    )
    def test_other_shapes_than_the_standard_are_marked(
        self, shapes: tuple[tuple[int, int], ...], reduced: bool
    ) -> None:
        rating = solve(LLAMA_3, [run(LLAMA_3, shape) for shape in shapes])

        assert rating.reduced is reduced

    def test_a_standard_name_for_short_answers_is_reduced(self) -> None:
        prefill, decode = both()
        short = replace(
            decode, windows=tuple(replace(w, requests=(Requests(128, 0, 1_000, 8),)) for w in decode.windows)
        )

        assert solve(LLAMA_3, [prefill, short]).reduced


class TestRefusals:
    def refused(self, *runs: Run) -> str:
        with pytest.raises(ratings.RatingError) as caught:
            solve(LLAMA_3, runs)
        return caught.value.code

    def changed(self, of: Run, **change: object) -> Run:
        return replace(of, windows=(replace(of.windows[0], **change), *of.windows[1:]))

    def test_have_stable_codes(self) -> None:
        prefill, decode = both()

        assert self.refused(prefill) == "too_few_runs"
        assert self.refused(prefill, run(LLAMA_3, (128, 2048), times=3)) == "too_few_requests"
        assert self.refused(prefill, run(LLAMA_3, (128, 2048), windows=3)) == "too_few_windows"
        assert self.refused(prefill, self.changed(decode, requests=())) == "too_few_windows"
        assert self.refused(prefill, self.changed(decode, gpu_seconds=Fraction(0))) == "bad_seconds"
        assert self.refused(prefill, self.changed(decode, gpu_seconds=Fraction(-1))) == "bad_seconds"
        assert self.refused(prefill, self.changed(decode, requests=(Requests(128, 0, 2049, 8),))) == "bad_counts"
        assert self.refused(prefill, self.changed(decode, requests=(Requests(-1, 0, 2048, 8),))) == "bad_counts"
        assert self.refused(prefill, self.changed(decode, requests=(Requests(128, 0, 2048, 0),))) == "bad_counts"
        assert self.refused(prefill, run(LLAMA_3, (2048, 128))) == "shapes_not_separable"

    def test_runs_without_tokens(self) -> None:
        prefill, decode = both()
        silent = replace(decode, windows=tuple(replace(w, requests=(Requests(128, 0, 0, 8),)) for w in decode.windows))

        assert self.refused(prefill, silent) == "no_tokens"

    def test_prompts_out_of_a_cache(self) -> None:
        prefill, decode = both()
        cached = replace(
            decode, windows=tuple(replace(w, requests=(Requests(118, 10, 2048, 8),)) for w in decode.windows)
        )

        assert self.refused(prefill, cached) == "prompts_cached"

    def test_runs_that_no_costs_explain(self) -> None:
        """Twice the decode shape, once at load and once idle."""
        prefill, decode = both()
        idle = replace(decode, windows=tuple(replace(w, gpu_seconds=w.gpu_seconds * 8) for w in decode.windows))

        assert self.refused(prefill, decode, idle) == "runs_disagree"
