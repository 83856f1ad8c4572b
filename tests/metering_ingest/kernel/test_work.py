"""Measured work: sums of many requests are judged, within the rating's interval."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering_ingest.kernel import work
from metering_ingest.kernel.cases import WorkCase, work_cases
from metering_ingest.kernel.work import Rating, Work, judge, shape_bucket

EXACT = Rating(Fraction(1_000), Fraction(1_000))


def billed(share: Fraction, requests: int = 500) -> Work:
    """`share`: billed ÷ measured."""
    return Work(requests, int(10**12 * share), 10**9)


@pytest.mark.parametrize("case", work_cases(), ids=lambda case: case.name)
def test_known_cases(case: WorkCase) -> None:
    assert judge(case.work, case.rating).state == case.state


class TestBands:
    @pytest.mark.parametrize(
        ("percent", "state"),
        [(115, work.WITHIN), (116, work.SOFT), (130, work.SOFT), (131, work.HARD),
         (85, work.WITHIN), (84, work.SOFT), (70, work.SOFT), (69, work.HARD)],
    )  # fmt: skip
    def test_open_a_case_beyond_15_percent_and_freeze_beyond_30(self, percent: int, state: str) -> None:
        assert judge(billed(Fraction(percent, 100)), EXACT).state == state

    def test_are_widened_by_what_the_rating_does_not_know(self) -> None:
        estimated = Rating.estimated(Fraction(1_000))

        assert judge(billed(Fraction(145, 100)), estimated).state == work.WITHIN
        assert judge(billed(Fraction(150, 100)), estimated).state == work.SOFT
        assert judge(billed(Fraction(170, 100)), estimated).state == work.HARD

    @pytest.mark.parametrize("requests", [1, 199])
    def test_never_judge_a_few(self, requests: int) -> None:
        assert judge(billed(Fraction(9), requests), EXACT).state == work.TOO_FEW

    def test_never_judge_without_measured_time(self) -> None:
        assert judge(Work(500, 10**9, 0), EXACT).state == work.TOO_FEW


class TestUnbacked:
    @given(st.integers(1, 10**13), st.integers(1, 10**10), st.integers(1, 5_000), st.integers(0, 500))
    def test_lies_within_the_bill_and_only_where_too_much_was_billed(
        self, micro_st: int, gpu_micros: int, low: int, wide: int
    ) -> None:
        verdict = judge(Work(200, micro_st, gpu_micros), Rating(Fraction(low), Fraction(low + wide)))

        assert 0 <= verdict.unbacked_micro_st < micro_st
        assert verdict.low is not None and verdict.low <= verdict.high  # type: ignore[operator]
        assert bool(verdict.unbacked_micro_st) <= (verdict.state == work.HARD and verdict.low > 1)

    def test_is_the_bill_less_the_most_that_was_worked(self) -> None:
        assert judge(billed(Fraction(2)), EXACT).unbacked_micro_st == 10**12


def test_a_rating_is_an_interval_above_zero() -> None:
    for low, high in ((0, 1), (2, 1)):
        with pytest.raises(ValueError, match="interval"):
            Rating(Fraction(low), Fraction(high))


@pytest.mark.parametrize(
    ("prompt", "completion", "bucket"),
    [(0, 0, "p0-g0"), (1, 1, "p1-g1"), (1_023, 200, "p512-g128"), (1_024, 4, "p1024-g4")],
)
def test_shape_buckets_are_powers_of_two(prompt: int, completion: int, bucket: str) -> None:
    assert shape_bucket(prompt, completion) == bucket
