from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard import catalogue, usage
from token_standard.cards import Card
from token_standard.usage import NegativeUsage

CARDS = st.sampled_from(catalogue.cards())
COUNTS = st.integers(0, 200_000)
SMALL = st.integers(0, 40)
NARROW = replace(
    catalogue.card("gpt-oss-120b"),
    architecture=replace(
        catalogue.card("gpt-oss-120b").architecture,
        windows=tuple(replace(window, width=7) for window in catalogue.card("gpt-oss-120b").architecture.windows),
    ),
)


def naive(card: Card, n: int, c: int, g: int) -> Fraction:
    """Token by token, straight from the definition."""
    exact, total = card.coefficients, Fraction(0)

    def seen(position: int, width: int | None) -> int:
        return position if width is None else min(position, width)

    for position in range(c + 1, c + n + 1):
        total += exact.a_p + sum(group.b_p * seen(position, group.width) for group in exact.attending)
    total += sum(group.c_c * seen(c, group.width) for group in exact.attending)
    for position in range(c + n + 1, c + n + g + 1):
        total += exact.a_d + sum(group.b_d * seen(position, group.width) for group in exact.attending)
    return total


class TestST:
    @given(
        st.sampled_from([NARROW, catalogue.card("llama-3-8b"), catalogue.card("deepseek-v3", "fp8")]),
        SMALL,
        SMALL,
        SMALL,
    )
    def test_is_the_sum_over_single_tokens(self, card, n, c, g):
        assert usage.st(card, n=n, c=c, g=g) == naive(card, n, c, g)

    @given(COUNTS, COUNTS, COUNTS)
    def test_is_the_published_polynomial_without_windows(self, n, c, g):
        card = catalogue.card("llama-2-7b")
        k = card.coefficients
        pairs_p, pairs_d = n * c + Fraction(n * (n + 1), 2), g * (n + c) + Fraction(g * (g + 1), 2)

        assert usage.st(card, n=n, c=c, g=g) == k.a_p * n + k.b_p * pairs_p + k.c_c * c + k.a_d * g + k.b_d * pairs_d

    @given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
    def test_is_the_same_polynomial_inside_the_window(self, n, c, g):
        card = catalogue.card("mistral-7b-v0.1")
        k = card.coefficients
        pairs_p, pairs_d = n * c + Fraction(n * (n + 1), 2), g * (n + c) + Fraction(g * (g + 1), 2)

        assert usage.st(card, n=n, c=c, g=g) == k.a_p * n + k.b_p * pairs_p + k.c_c * c + k.a_d * g + k.b_d * pairs_d

    @given(CARDS, COUNTS, COUNTS, COUNTS)
    def test_is_shared_out_by_kind_without_loss(self, card, n, c, g):
        parts = usage.shares(card, n=n, c=c, g=g)

        assert parts.total == usage.st(card, n=n, c=c, g=g)
        assert parts.cached == usage.st(card, n=0, c=c, g=0)
        assert min(parts.input, parts.cached, parts.output) >= 0

    @given(CARDS, COUNTS, COUNTS, COUNTS)
    def test_is_the_same_when_a_prompt_is_read_in_two_pieces(self, card, first, second, c):
        """The first piece is cached for the second, whose own reading of the cache is all that is added."""
        whole = usage.shares(card, n=first + second, c=c, g=0)
        one = usage.shares(card, n=first, c=c, g=0)
        two = usage.shares(card, n=second, c=c + first, g=0)

        assert one.input + two.input == whole.input

    @given(CARDS, COUNTS, COUNTS, COUNTS)
    def test_is_the_same_when_an_answer_is_continued_from_cache(self, card, prompt, first, second):
        whole = usage.shares(card, n=prompt, c=0, g=first + second)
        one = usage.shares(card, n=prompt, c=0, g=first)
        two = usage.shares(card, n=0, c=prompt + first, g=second)

        assert one.output + two.output == whole.output

    @given(CARDS, COUNTS, COUNTS, COUNTS, st.integers(1, 5000))
    def test_never_falls_when_more_is_used(self, card, n, c, g, more):
        base = usage.st(card, n=n, c=c, g=g)

        assert usage.st(card, n=n + more, c=c, g=g) > base
        assert usage.st(card, n=n, c=c + more, g=g) >= base
        assert usage.st(card, n=n, c=c, g=g + more) > base

    @given(CARDS, st.integers(1, 200_000), COUNTS, COUNTS)
    def test_never_rises_when_prompt_tokens_come_from_cache(self, card, n, c, g):
        assert usage.st(card, n=n - 1, c=c + 1, g=g) < usage.st(card, n=n, c=c, g=g)

    @given(CARDS, COUNTS)
    def test_of_nothing_is_nothing(self, card, _):
        assert usage.st(card, n=0, c=0, g=0) == 0
        assert usage.micro_st(card, n=0, c=0, g=0) == 0


class TestMicroST:
    @given(st.one_of(CARDS, st.just(NARROW)), COUNTS, COUNTS, COUNTS)
    def test_is_the_exact_value_rounded_once_half_to_even(self, card, n, c, g):
        assert usage.micro_st(card, n=n, c=c, g=g) == round(usage.st(card, n=n, c=c, g=g) * 10**6)

    @pytest.mark.parametrize(
        ("numerator", "denominator", "rounded"),
        [
            (1, 2, 0),
            (3, 2, 2),
            (5, 2, 2),
            (7, 2, 4),
            (4, 6, 1),
            (2, 6, 0),
            (9, 6, 2),
            (15, 6, 2),
            (16, 6, 3),
            (6, 3, 2),
        ],
    )
    def test_rounds_a_tie_to_the_even_side(self, numerator, denominator, rounded):
        assert usage._half_even(numerator, denominator) == rounded

    def test_stays_exact_far_beyond_any_request(self):
        card = catalogue.card("llama-3.1-405b")

        micros = usage.micro_st(card, n=10**12, c=10**12, g=10**12)

        assert micros == round(usage.st(card, n=10**12, c=10**12, g=10**12) * 10**6)

    @pytest.mark.parametrize(
        "counts", [{"n": -1, "c": 0, "g": 0}, {"n": 5, "c": -1, "g": 0}, {"n": 5, "c": 0, "g": -3}]
    )
    def test_refuses_negative_counts(self, counts):
        for value in (usage.micro_st, usage.st, usage.shares):
            with pytest.raises(NegativeUsage, match="below zero"):
                value(catalogue.card("llama-3-8b"), **counts)

    def test_refuses_counts_that_are_not_whole_numbers(self):
        with pytest.raises(TypeError):
            usage.micro_st(catalogue.card("llama-3-8b"), n=1.5, c=0, g=0)


class TestTotal:
    @given(CARDS, st.lists(st.tuples(COUNTS, COUNTS, COUNTS), max_size=20))
    def test_adds_up_both_ways(self, card, requests):
        sums = usage.total(card, requests)

        assert sums.exact == sum((usage.st(card, n=n, c=c, g=g) for n, c, g in requests), Fraction(0))
        assert sums.micro_st == sum(usage.micro_st(card, n=n, c=c, g=g) for n, c, g in requests)
        assert (sums.requests, sums.prompt) == (len(requests), sum(n + c for n, c, _ in requests))
        assert abs(sums.exact * 10**6 - sums.micro_st) <= Fraction(len(requests), 2)


class TestSTText:
    @pytest.mark.parametrize(
        ("micros", "text"), [(0, "0.000000"), (1, "0.000001"), (1_000_000, "1.000000"), (-1_500_000, "-1.500000")]
    )
    def test_prints_all_six_places(self, micros, text):
        assert usage.st_text(micros) == text
