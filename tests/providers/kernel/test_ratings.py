"""States of ratings, what they support, and drift."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.kernel import ratings
from providers.kernel.ratings import Observed, Setup, State
from token_standard.ratings import Interval

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
SETUP = Setup("c" * 64, "vllm", "0.32.0", "575.51", "fp16", 2)


def seen(ratio: Fraction | int, requests: int = 50) -> Observed:
    return Observed(taken=Fraction(ratio) * 10, foretold=Fraction(10), requests=requests)


def judged(*windows: Observed) -> ratings.Drift:
    """Against a rate of 1,000 with an interval of 900 to 1,100."""
    return ratings.drift(windows, point=1_000, low=900, high=1_100)


class TestState:
    @pytest.mark.parametrize(
        ("left", "state"),
        [(timedelta(days=30), State.RATED), (timedelta(days=7), State.RATED), (timedelta(days=6, hours=23), State.EXPIRING), (timedelta(0), State.EXPIRED),
         (timedelta(days=-1), State.EXPIRED)],
    )  # fmt: skip
    def test_follows_the_calendar(self, left: timedelta, state: State) -> None:
        assert ratings.state(expires_at=NOW + left, newest=True, changed=False, drifting=False, now=NOW) is state

    def test_names_the_strongest_reason(self) -> None:
        def state(**known: bool) -> State:
            given = {"newest": True, "changed": False, "drifting": False, **known}
            return ratings.state(expires_at=NOW + timedelta(days=3), now=NOW, **given)

        assert state(drifting=True) is State.DRIFTING
        assert state(drifting=True, changed=True) is State.CHANGED
        assert state(drifting=True, changed=True, newest=False) is State.SUPERSEDED


class TestChange:
    @pytest.mark.parametrize(
        ("field", "value"),
        [("card_digest", "d" * 64), ("engine", "sglang"), ("engine_version", "0.33.0"), ("driver", "580"), ("served_format", "fp8"), ("tensor_parallel", 4)],
    )  # fmt: skip
    def test_of_any_part_is_one(self, field: str, value: object) -> None:
        assert ratings.changed(SETUP, replace(SETUP, **{field: value})) == field

    @pytest.mark.parametrize("field", ["engine_version", "driver"])
    def test_a_version_that_nobody_told_is_none(self, field: str) -> None:
        assert ratings.changed(SETUP, replace(SETUP, **{field: ""})) == ""
        assert ratings.changed(replace(SETUP, **{field: ""}), SETUP) == ""


class TestDrift:
    def test_is_not_judged_on_few_requests(self) -> None:
        drift = judged(seen(3, requests=199))

        assert (drift.ratio, drift.requests, drift.drifting) == (3, 199, False)

    def test_begins_beyond_the_widened_interval(self) -> None:
        """Time is the inverse of rate: 1,000/900 and 30 % more, 1,000/1,100 and 30 % less."""
        assert (judged().low, judged().high) == (Fraction(10, 11) * Fraction(7, 10), Fraction(10, 9) * Fraction(13, 10))
        for ratio, drifting in [("1.44", False), ("1.45", True), ("0.64", False), ("0.63", True), ("1", False)]:
            assert judged(seen(Fraction(ratio), 200)).drifting is drifting

    def test_one_odd_window_is_outvoted(self) -> None:
        assert not judged(seen(9, 60), *[seen(1, 60)] * 3).drifting

    def test_looks_at_the_newest_windows_only(self) -> None:
        """200 slow requests now count, whatever thousands did before."""
        assert judged(seen(2, 120), seen(2, 80), *[seen(1, 1_000)] * 5).drifting
        assert not judged(seen(1, 200), *[seen(2, 1_000)] * 5).drifting

    def test_nothing_seen_is_no_drift(self) -> None:
        assert (judged().ratio, judged().drifting) == (None, False)

    def test_without_an_upper_bound_nothing_is_too_fast(self) -> None:
        drift = ratings.drift([seen(Fraction(1, 100), 200)], point=1_000, low=900, high=None)

        assert not drift.drifting

    @given(st.lists(st.tuples(st.fractions(Fraction(1, 100), 100), st.integers(1, 300)), min_size=1, max_size=20))
    def test_the_ratio_is_one_that_was_seen(self, windows: list[tuple[Fraction, int]]) -> None:
        drift = judged(*(seen(ratio, requests) for ratio, requests in windows))

        assert drift.ratio in {ratio for ratio, _ in windows}


class TestSupport:
    def test_is_what_all_devices_may_do_at_best(self) -> None:
        high = 1_100 * 10**6  # micro-ST/s of one device

        assert ratings.supported(8_800, high, 8)
        assert not ratings.supported(8_801, high, 8)
        assert ratings.supported(10**9, None, 8)


class TestRates:
    def test_are_rounded_outwards(self) -> None:
        third = Fraction(1, 3)

        assert ratings.rate_micros(Interval(third, third, third)) == (333_333, 333_333, 333_334)

    def test_beyond_any_device_have_no_bound(self) -> None:
        huge = Fraction(10**12)

        assert ratings.rate_micros(Interval(huge, Fraction(1), huge)) == (None, 10**6, None)
        assert ratings.rate_micros(Interval(None, Fraction(0), None)) == (None, 0, None)
