from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kernel import rounding

exact_amounts = st.integers(0, 10**38)
fen = st.integers(0, 10**13)
rates = st.sampled_from([0, 1, 100, 300, 600, 900, 1300])


class TestToFen:
    def test_gives_half_a_fen_to_the_seller(self):
        half = rounding.EXACT_PER_FEN // 2

        assert [rounding.to_fen_half_up(e) for e in (0, half - 1, half, 3 * half - 1, 3 * half)] == [0, 0, 1, 1, 2]

    @given(exact_amounts)
    def test_is_never_further_than_half_a_fen_away(self, exact):
        off = rounding.to_fen_half_up(exact) * rounding.EXACT_PER_FEN - exact

        assert -rounding.EXACT_PER_FEN < 2 * off <= rounding.EXACT_PER_FEN

    def test_refuses_a_negative_amount(self):
        with pytest.raises(rounding.NegativeAmount):
            rounding.to_fen_half_up(-1)


class TestCumulativeFloor:
    @given(st.lists(st.integers(0, 10**20), max_size=30))
    def test_gives_one_total_however_usage_is_cut(self, pieces):
        total = posted = 0
        for piece in pieces:
            total += piece
            posted += rounding.cumulative_floor_micros(total, posted)

        assert posted == sum(pieces) // rounding.EXACT_PER_MICRO

    def test_gives_back_what_a_correction_takes_away(self):
        assert rounding.cumulative_floor_micros(3 * 10**12 - 1, 5) == -3


class TestSplit:
    @given(st.integers(0, 10**15), st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
    def test_loses_nothing_and_stays_within_one_of_the_exact_share(self, total, weights):
        weights[0] += 1

        shares = rounding.split_by_largest_remainder(total, weights, range(len(weights)))

        assert sum(shares) == total
        for share, weight in zip(shares, weights, strict=True):
            assert abs(share - Fraction(total * weight, sum(weights))) < 1

    @given(st.data(), st.lists(st.integers(0, 100), min_size=2, max_size=8))
    def test_does_not_depend_on_the_order(self, data, weights):
        weights[0] += 1
        keyed = list(enumerate(weights))
        shuffled = data.draw(st.permutations(keyed))

        first = rounding.split_by_largest_remainder(97, weights, range(len(weights)))
        second = rounding.split_by_largest_remainder(97, [w for _, w in shuffled], [k for k, _ in shuffled])

        assert dict(enumerate(first)) == dict(zip([k for k, _ in shuffled], second, strict=True))

    def test_breaks_ties_by_the_smallest_key(self):
        assert rounding.split_by_largest_remainder(2, [1, 1, 1], ["c", "a", "b"]) == (0, 1, 1)

    def test_refuses_to_share_something_over_nothing(self):
        with pytest.raises(rounding.NothingToSplitOver):
            rounding.split_by_largest_remainder(1, [0, 0], [1, 2])

    def test_refuses_negative_weights(self):
        with pytest.raises(rounding.NegativeAmount):
            rounding.split_by_largest_remainder(1, [2, -1], [1, 2])


class TestTax:
    @pytest.mark.parametrize(
        ("gross", "rate_bps", "net", "tax"),
        [
            (10600, 600, 10000, 600),
            (8016000, 600, 7562264, 453736),
            (1, 600, 1, 0),
            (100, 0, 100, 0),
            (101, 100, 100, 1),
        ],
    )
    def test_is_the_gross_less_the_rounded_net(self, gross, rate_bps, net, tax):
        assert rounding.net_and_tax(gross, rate_bps) == (net, tax)

    @given(fen, rates)
    def test_never_loses_a_fen(self, gross, rate_bps):
        net, tax = rounding.net_and_tax(gross, rate_bps)

        assert net + tax == gross
        assert abs(net - Fraction(gross * 10_000, 10_000 + rate_bps)) <= Fraction(1, 2)

    @given(st.lists(fen, min_size=1, max_size=40), rates)
    def test_of_the_lines_adds_up_to_the_tax_of_their_sum(self, gross, rate_bps):
        taxes = rounding.tax_by_line(gross, rate_bps, range(len(gross)))

        assert sum(taxes) == rounding.net_and_tax(sum(gross), rate_bps)[1]
        assert all(0 <= tax <= amount for tax, amount in zip(taxes, gross, strict=True))
