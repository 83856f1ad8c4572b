"""DeepSeek's published day against the card that carries corrections for it."""

from fractions import Fraction

import pytest

from token_standard import catalogue, usage

# open-infra-index, "DeepSeek-V3/R1 Inference System Overview", 2025-02-27 12:00 to 02-28 12:00 UTC+8
PROMPT, CACHED, GENERATED = 608 * 10**9, 342 * 10**9, 168 * 10**9
MEAN_CONTEXT = 4989
PREFILL_RATE, DECODE_RATE = 73_700, 14_800  # tokens per second and node; the first counts cached tokens too
PUBLISHED = Fraction(PREFILL_RATE * (PROMPT - CACHED), PROMPT) / DECODE_RATE  # node time, output : uncached prompt

# The one request shape that has the day's three ratios and its mean context P + g/2.
G = round(MEAN_CONTEXT / (Fraction(PROMPT, GENERATED) + Fraction(1, 2)))
P = round(MEAN_CONTEXT - Fraction(G, 2))
C = round(P * Fraction(CACHED, PROMPT))


def ratio(card, *, n, c, g):
    """ST of an output token over ST of an uncached prompt token."""
    parts = usage.shares(card, n=n, c=c, g=g)
    return (parts.output / g) / (parts.input / n)


class TestPublishedDay:
    def test_says_that_an_output_token_costs_about_two_prompt_tokens(self):
        assert round(PUBLISHED, 1) == Fraction(22, 10)
        assert (P - C, C, G) == (1918, 2466, 1211)

    @pytest.mark.parametrize("form", ["fp16", "fp8"])
    def test_is_missed_by_the_uncorrected_card(self, form):
        assert ratio(catalogue.card("deepseek-v3", form), n=P - C, c=C, g=G) > 8

    def test_is_given_by_the_corrected_card(self):
        card = catalogue.card("deepseek-v3-mu1", "fp8")

        assert abs(ratio(card, n=P - C, c=C, g=G) / PUBLISHED - 1) < Fraction(1, 100)
        assert not card.provisional
        assert "open-infra-index" in card.evidence

    @pytest.mark.parametrize(("n", "c", "g"), [(2048, 0, 500), (4000, 0, 1000), (1000, 4000, 400), (3000, 3000, 3000)])
    def test_stays_within_thirty_percent_for_other_shapes_of_the_day(self, n, c, g):
        card = catalogue.card("deepseek-v3-mu1", "fp8")

        assert abs(ratio(card, n=n, c=c, g=g) / PUBLISHED - 1) <= Fraction(30, 100)

    def test_keeps_its_total_within_a_percent(self):
        plain = usage.st(catalogue.card("deepseek-v3", "fp8"), n=P - C, c=C, g=G)
        corrected = usage.st(catalogue.card("deepseek-v3-mu1", "fp8"), n=P - C, c=C, g=G)

        assert abs(corrected / plain - 1) < Fraction(1, 100)

    def test_corrects_the_structure_of_the_uncorrected_card(self):
        plain = catalogue.card("deepseek-v3", "fp8")

        assert catalogue.card("deepseek-v3-mu1", "fp8").architecture == plain.architecture
