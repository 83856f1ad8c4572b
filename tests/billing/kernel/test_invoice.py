from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kernel import invoice, tokens
from billing.kernel.invoice import AmountWithoutQuantity, DuplicateRatedLine, LineKey, RatedAmount
from billing.kernel.rounding import EXACT_PER_FEN, NegativeAmount
from billing.kernel.tokens import TokenCounts
from billing.kernel.words import amount_in_words, parse_words

DAY = date(2026, 11, 24)
KEY = LineKey("deepseek-v3", "batch", DAY, 600)

keys = st.builds(
    LineKey,
    st.sampled_from(["deepseek-v3", "llama-3-8b"]),
    st.sampled_from(["batch", "interactive"]),
    st.sampled_from([DAY, date(2026, 11, 25)]),
    st.sampled_from([0, 100, 600]),
)
counts = st.builds(TokenCounts, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))


@st.composite
def rated(draw):
    rows = []
    for i in range(draw(st.integers(0, 15))):
        micro_st = draw(st.integers(0, 10**13))
        price = draw(st.integers(0, 5 * 10**9))
        rows.append(RatedAmount(i, draw(keys), draw(st.sampled_from("甲乙")), micro_st, micro_st * price, draw(counts)))
    return rows


def one(rated_line_id: int, micro_st: int, price_micros: int, key: LineKey = KEY, provider: str = "甲") -> RatedAmount:
    return RatedAmount(rated_line_id, key, provider, micro_st, micro_st * price_micros)


class TestFigures:
    def test_shows_the_price_that_was_paid(self):
        figures = invoice.figures([one(1, 25_858_064_516_129, 3_100_000_000), one(2, 5, 3_100_000_000, provider="乙")])

        (line,) = figures.lines
        assert line.average_price_micros == 3_100_000_000
        assert (line.amount_fen, line.net_fen, line.tax_fen) == (8_016_000, 7_562_264, 453_736)
        assert line.provider is None
        assert figures.rounding_exact == line.exact - 8_016_000 * EXACT_PER_FEN

    def test_is_nothing_below_one_fen(self):
        just_below = RatedAmount(1, KEY, "甲", 1, EXACT_PER_FEN // 2 - 1)

        assert invoice.figures([]) is None
        assert invoice.figures([just_below]) is None
        assert invoice.figures([just_below, RatedAmount(2, KEY, "甲", 1, 1)]).total_fen == 1

    def test_keeps_a_line_of_zero_beside_others(self):
        other = LineKey("llama-3-8b", "batch", DAY, 600)

        figures = invoice.figures([one(1, 1, 1), one(2, 10**12, 10**9, key=other)])

        assert [(line.number, line.amount_fen) for line in figures.lines] == [(1, 0), (2, 100_000)]

    @given(rated())
    def test_adds_up_exactly(self, rows):
        figures = invoice.figures(rows)

        total_exact = sum(row.exact for row in rows)
        if figures is None:
            assert total_exact < EXACT_PER_FEN * max(len(rows), 1)
            return
        assert total_exact == sum(line.amount_fen for line in figures.lines) * EXACT_PER_FEN + figures.rounding_exact
        assert 2 * abs(figures.rounding_exact) <= EXACT_PER_FEN * len(figures.lines)
        assert figures.total_fen == sum(line.amount_fen for line in figures.lines) == figures.net_fen + figures.tax_fen
        assert all(line.amount_fen == line.net_fen + line.tax_fen for line in figures.lines)
        assert parse_words(amount_in_words(figures.total_fen)) == figures.total_fen

    @given(rated())
    def test_gives_each_tax_rate_the_sum_of_its_lines(self, rows):
        figures = invoice.figures(rows)

        for group in figures.tax_groups if figures else ():
            lines = [line for line in figures.lines if line.key.tax_rate_bps == group.rate_bps]
            assert group.gross_fen == sum(line.amount_fen for line in lines)
            assert group.net_fen == sum(line.net_fen for line in lines)
            assert group.tax_fen == sum(line.tax_fen for line in lines)
            assert abs(group.net_fen - Fraction(group.gross_fen * 10_000, 10_000 + group.rate_bps)) <= Fraction(1, 2)

    @given(rated())
    def test_loses_no_usage(self, rows):
        figures = invoice.figures(rows)

        if figures:
            assert sum(line.micro_st for line in figures.lines) == sum(row.micro_st for row in rows)
            used = [row.tokens for row in rows if row.micro_st]
            assert tokens.add_up(line.tokens for line in figures.lines) == tokens.add_up(used)

    @given(rated(), st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_of_its_input(self, rows, random):
        expected = invoice.figures(rows)
        random.shuffle(rows)

        assert invoice.figures(rows) == expected

    def test_carries_a_digest_that_changes_with_what_is_summed(self):
        split = invoice.figures([one(1, 40_000, 10**12), one(2, 60_000, 10**12)])
        joined = invoice.figures([one(1, 100_000, 10**12)])

        assert split.lines[0].exact == joined.lines[0].exact
        assert split.lines[0].digest != joined.lines[0].digest

    @pytest.mark.parametrize(
        ("rows", "error"),
        [
            ([one(1, 10**12, 10**9), one(1, 10**12, 10**9)], DuplicateRatedLine),
            ([RatedAmount(1, KEY, "甲", 0, 1)], AmountWithoutQuantity),
            ([RatedAmount(1, KEY, "甲", -1, 1)], NegativeAmount),
        ],
    )
    def test_refuses_rows_it_cannot_charge(self, rows, error):
        with pytest.raises(error):
            invoice.figures(rows)
