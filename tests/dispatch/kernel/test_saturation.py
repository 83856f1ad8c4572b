"""When an engine is at load, against a naive count, and what a window takes of each request."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.kernel.saturation import Share, Span, seen, stretches, threshold

ZERO = datetime(2026, 11, 24, tzinfo=UTC)
LENGTH = 60  # seconds of the window


def at(second: float) -> datetime:
    return ZERO + timedelta(seconds=second)


def span(opened: float, first: float | None, closed: float) -> Span:
    return Span(at(opened), None if first is None else at(first), at(closed))


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    """Requests of whole seconds, some of no length, some out of the window, some with times in a wrong order."""
    made = []
    for _ in range(draw(st.integers(0, 12))):
        opened, length = draw(st.integers(-30, 80)), draw(st.integers(0, 40))
        first = draw(st.none() | st.integers(opened - 2, opened + length + 2))
        made.append(span(opened, first, opened + length))
    return made


def looked_at(given_spans: list[Span], least: int, start: int = 0, end: int = LENGTH):
    return seen(given_spans, at_least=least, start=at(start), end=at(end))


class TestStretches:
    @given(spans(), st.integers(1, 5))
    def test_are_the_seconds_in_which_so_many_run(self, many: list[Span], least: int) -> None:
        found = stretches(many, at_least=least, start=at(0), end=at(LENGTH))

        for second in range(LENGTH):
            middle = at(second + 0.5)
            running = sum(one.opened_at <= middle < one.closed_at for one in many)
            assert any(since <= middle < until for since, until in found) == (running >= least)
        assert all(since < until for since, until in found)
        assert all(until < later for (_, until), (later, _) in itertools.pairwise(found))

    def test_do_not_break_where_one_request_follows_another(self) -> None:
        assert stretches([span(0, 1, 10), span(10, 11, 20)], at_least=1, start=at(0), end=at(60)) == [(at(0), at(20))]


class TestSeen:
    @given(spans(), st.integers(1, 5), st.integers(1, LENGTH - 1))
    def test_adds_up_over_windows(self, many: list[Span], least: int, cut: int) -> None:
        whole, left, right = looked_at(many, least), looked_at(many, least, 0, cut), looked_at(many, least, cut)

        assert whole.micro_seconds == left.micro_seconds + right.micro_seconds <= LENGTH * 10**6
        assert whole.finished == left.finished + right.finished
        for one, a, b in zip(whole.shares, left.shares, right.shares, strict=True):
            assert one == Share(a.prompt + b.prompt, a.output + b.output)
            assert 0 <= one.prompt <= 1 and 0 <= one.output <= 1

    @given(spans(), st.integers(1, 5), st.integers(0, 1000))
    def test_says_the_same_after_a_time_without_work(self, many: list[Span], least: int, idle: int) -> None:
        pause = timedelta(seconds=idle)
        last = max((one.closed_at for one in many), default=at(0))
        moved = [
            Span(one.opened_at + (last - at(-30)) + pause, one.first_token_at and one.first_token_at + (last - at(-30)) + pause,
                 one.closed_at + (last - at(-30)) + pause)
            for one in many
        ]  # fmt: skip

        found = seen([*many, *moved], at_least=least, start=at(-1000), end=at(5000))
        once = seen(many, at_least=least, start=at(-1000), end=at(5000))

        assert found.micro_seconds == 2 * once.micro_seconds
        assert found.finished == 2 * once.finished
        assert found.shares == once.shares * 2

    @given(spans(), st.integers(1, 5), st.randoms())
    def test_does_not_depend_on_the_order(self, many: list[Span], least: int, chance) -> None:
        order = list(range(len(many)))
        chance.shuffle(order)

        found, shuffled = looked_at(many, least), looked_at([many[i] for i in order], least)

        assert (found.micro_seconds, found.finished) == (shuffled.micro_seconds, shuffled.finished)
        assert shuffled.shares == tuple(found.shares[i] for i in order)

    @given(spans(), st.integers(1, 5))
    def test_asks_for_more_and_sees_less(self, many: list[Span], least: int) -> None:
        assert looked_at(many, least + 1).micro_seconds <= looked_at(many, least).micro_seconds
        assert looked_at(many, len(many) + 1) == looked_at([], 1).__class__(
            0, (Share(Fraction(0), Fraction(0)),) * len(many), 0
        )

    def test_takes_of_a_long_request_what_lies_inside(self) -> None:
        found = looked_at([span(-10, 10, 110)], 1)

        assert found.shares == (Share(Fraction(1, 2), Fraction(1, 2)),)
        assert (found.micro_seconds, found.finished) == (60 * 10**6, 0)

    def test_leaves_out_the_time_with_fewer_requests(self) -> None:
        found = looked_at([span(0, 0, 30), span(10, 20, 40)], 2)

        assert found.micro_seconds == 20 * 10**6
        assert found.shares == (Share(Fraction(0), Fraction(2, 3)), Share(Fraction(1), Fraction(1, 2)))
        assert found.finished == 1


@pytest.mark.parametrize(("rated", "devices", "least"), [(8, 8, 64), (1, 8, 512), (8, 1, 8), (3, 2, 43), (64, 1, 1)])
def test_threshold_goes_with_the_devices(rated: int, devices: int, least: int) -> None:
    assert threshold(64, rated_devices=rated, devices=devices) == least
