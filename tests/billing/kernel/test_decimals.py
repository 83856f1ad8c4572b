from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from accounts.kernel.decimals import plain
from billing.kernel.decimals import grouped


class TestPlain:
    def test_keeps_every_digit_and_no_zeros_after_them(self):
        assert plain(8016000, 2, at_least=2) == "80160.00"
        assert plain(1234500, 6, at_least=2) == "1.2345"
        assert plain(250_000, 12) == "0.00000025"
        assert plain(-5, 2, at_least=2) == "-0.05"
        assert plain(7, 0) == "7"
        assert plain(0, 18) == "0"

    @given(st.integers(-(10**40), 10**40), st.integers(0, 18), st.integers(0, 6))
    def test_reads_back_as_the_same_number(self, value, scale, at_least):
        assert Decimal(plain(value, scale, at_least)) == Decimal(f"{value}e-{scale}")


class TestGrouped:
    @given(st.integers(-(10**20), 10**20), st.integers(0, 18))
    def test_only_adds_commas(self, value, scale):
        assert grouped(plain(value, scale)).replace(",", "") == plain(value, scale)

    def test_counts_thousands_before_the_point_only(self):
        assert grouped("-1234567.891234") == "-1,234,567.891234"
