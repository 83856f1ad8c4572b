"""Every row of the table of numbers, times and languages, and what always holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.kernel import formats

AT = datetime(2026, 11, 24, 15, 5, 9, tzinfo=UTC)


class TestUnitPrice:
    @pytest.mark.parametrize(
        ("micros", "lang", "per_million", "per_token"),
        [
            (3_100_000_000, "zh-hans", "¥3,100.00 /百万词元", "¥0.0031 /词元"),
            (3_100_000_000, "en", "CN¥3,100.00 /M tokens", "CN¥0.0031 /token"),
            (250_000, "zh-hans", "¥0.25 /百万词元", "¥0.00000025 /词元"),
            (250_000, "en", "CN¥0.25 /M tokens", "CN¥0.00000025 /token"),
            (5_000_000_000, "en", "CN¥5,000.00 /M tokens", "CN¥0.005 /token"),
            (10_000, "en", "CN¥0.01 /M tokens", "CN¥0.00000001 /token"),
            (1, "en", "CN¥0.000001 /M tokens", "CN¥0.000000000001 /token"),
            (1_805_000, "en", "CN¥1.805 /M tokens", "CN¥0.000001805 /token"),
            (0, "en", "CN¥0.00 /M tokens", "CN¥0 /token"),
            (None, "en", "—", "—"),
            (None, "zh-hans", "—", "—"),
        ],
    )
    def test_is_written_as_the_table_says(
        self, micros: int | None, lang: str, per_million: str, per_token: str
    ) -> None:
        assert formats.unit_price_per_million(micros, lang) == per_million
        assert formats.unit_price_per_token(micros, lang) == per_token

    def test_names_standard_tokens_where_asked(self) -> None:
        assert formats.unit_price_per_million(1_800_000, "en", unit="st") == "CN¥1.80 /M ST"
        assert formats.unit_price_per_million(1_800_000, "zh-hans", unit="st") == "¥1.80 /百万标准词元"
        assert formats.unit_price_per_token(1_800_000, "zh-hans", unit="st") == "¥0.0000018 /标准词元"

    def test_of_test_money_never_looks_like_real_money(self) -> None:
        assert formats.unit_price_per_million(1_800_000, "zh-hans", currency="XTS") == "XTS\u00a01.80 /百万词元"
        assert "¥" not in formats.amount_fen(100, "en", currency="XTS")

    @given(st.integers(min_value=1, max_value=10**13))
    def test_is_exact_and_never_zero_nor_in_exponents(self, micros: int) -> None:
        per_million, per_token = formats.per_million_number(micros), formats.per_token_number(micros)

        assert Fraction(per_million.replace(",", "")) * 10**6 == micros
        assert Fraction(per_token.replace(",", "")) * 10**12 == micros
        assert "e" not in (per_million + per_token).lower()
        assert len(per_million.split(".")[1]) >= 2
        assert "." not in per_token or not per_token.endswith(("0", "."))


class TestAmount:
    @pytest.mark.parametrize(
        ("fen", "zh", "en"),
        [
            (8_016_000, "¥80,160.00", "CN¥80,160.00"),
            (-1_250, "−¥12.50", "−CN¥12.50"),
            (0, "¥0.00", "CN¥0.00"),
            (5, "¥0.05", "CN¥0.05"),
            (None, "—", "—"),
        ],
    )
    def test_of_fen_has_two_decimals(self, fen: int | None, zh: str, en: str) -> None:
        assert formats.amount_fen(fen, "zh-hans") == zh
        assert formats.amount_fen(fen, "en") == en

    @pytest.mark.parametrize(
        ("micros", "shown", "exact"),
        [
            (80_160_000_000, "CN¥80,160.00", "CN¥80,160.00"),
            (12_344_999, "CN¥12.34", "CN¥12.344999"),
            (12_345_000, "CN¥12.35", "CN¥12.345"),
            (-12_345_000, "−CN¥12.35", "−CN¥12.345"),
            (4_999, "CN¥0.004999", "CN¥0.004999"),
            (0, "CN¥0.00", "CN¥0.00"),
            (None, "—", "—"),
        ],
    )
    def test_of_micros_rounds_half_up_but_never_to_nothing(self, micros: int | None, shown: str, exact: str) -> None:
        assert formats.amount_micros(micros, "en") == shown
        assert formats.amount_micros(micros, "en", exact=True) == exact

    @given(st.integers(min_value=-(10**18), max_value=10**18))
    def test_shown_is_within_half_a_fen_of_the_exact_one(self, micros: int) -> None:
        shown = formats.amount_micros(micros, "zh-hans").replace("¥", "").replace(",", "").replace("−", "-")

        assert abs(Fraction(shown) * 10**6 - micros) <= 5_000


class TestTokens:
    @pytest.mark.parametrize(
        ("count", "zh", "en"),
        [
            (25_000_000, "2500万", "25M"),
            (1_234_567_890, "12.35亿", "1.23B"),
            (0, "0", "0"),
            (9_999, "9,999", "9,999"),
            (10_000, "1万", "10K"),
            (12_345, "1.23万", "12.35K"),
            (999_994, "100万", "999.99K"),
            (999_995, "100万", "1M"),
            (99_999_999, "1亿", "100M"),
            (1_500_000_000_000, "1.5万亿", "1.5T"),
            (-25_000_000, "−2500万", "−25M"),
            (None, "—", "—"),
        ],
    )
    def test_are_compact_in_each_languages_steps(self, count: int | None, zh: str, en: str) -> None:
        assert formats.tokens_compact(count, "zh-hans") == zh
        assert formats.tokens_compact(count, "en") == en

    def test_are_exact_with_separators(self) -> None:
        assert formats.tokens_exact(1_234_567_890) == "1,234,567,890"
        assert formats.tokens_exact(0) == "0"
        assert formats.tokens_exact(None) == "—"

    @given(st.integers(min_value=0, max_value=10**15), st.sampled_from(["en", "zh-hans"]))
    def test_compact_keep_four_digits_of_truth(self, count: int, lang: str) -> None:
        text = formats.tokens_compact(count, lang).replace(",", "")
        number = text.rstrip("KMBT万亿")
        scale = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "万": 10**4, "亿": 10**8, "万亿": 10**12}

        step = scale[text[len(number) :]]

        assert abs(Fraction(number) * step - count) * 200 <= step

    @pytest.mark.parametrize(
        ("micro", "zh", "en", "fixed"),
        [
            (1_640_998_353_498, "1,640,998.353498 标准词元", "1,640,998.353498 ST", "1,640,998.353498 ST"),
            (25_000_000_000_000, "25,000,000 标准词元", "25,000,000 ST", "25,000,000.000000 ST"),
            (1, "0.000001 标准词元", "0.000001 ST", "0.000001 ST"),
            (None, "—", "—", "—"),
        ],
    )
    def test_standard_ones_are_exact(self, micro: int | None, zh: str, en: str, fixed: str) -> None:
        assert formats.micro_st(micro, "zh-hans") == zh
        assert formats.micro_st(micro, "en") == en
        assert formats.micro_st(micro, "en", fixed=True) == fixed


class TestChange:
    @pytest.mark.parametrize(
        ("before", "after", "text", "way"),
        [
            (1_000_000, 1_023_100, "▲ +2.31%", "up"),
            (1_000_000, 988_000, "▼ −1.20%", "down"),
            (1_000_000, 1_000_000, "0.00%", "flat"),
            (1_000_000, 1_000_001, "▲ +0.00%", "up"),
            (100, 1_100_00, "▲ +109,900.00%", "up"),
            (None, 1, "—", "flat"),
            (1, None, "—", "flat"),
            (0, 5, "—", "up"),
        ],
    )
    def test_has_sign_arrow_and_two_decimals(self, before: int | None, after: int | None, text: str, way: str) -> None:
        assert formats.change_percent(before, after) == text
        assert formats.direction(before, after) == way


class TestTime:
    def test_is_on_the_market_clock(self) -> None:
        assert formats.instant(AT, "zh-hans") == "2026-11-24 23:05"
        assert formats.instant(AT, "en") == "24 Nov 2026, 23:05"

    def test_shows_seconds_and_another_clock_where_asked(self) -> None:
        assert formats.instant(AT, "en", seconds=True) == "24 Nov 2026, 23:05:09"
        assert formats.instant(AT, "zh-hans", tz=UTC) == "2026-11-24 15:05"

    def test_unknown_is_a_dash(self) -> None:
        assert formats.instant(None, "en") == "—"
        assert formats.window(None, AT, "en") == "—"
        assert formats.window(AT, None, "zh-hans") == "—"

    def test_without_a_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            formats.instant(AT.replace(tzinfo=None), "en")

    @pytest.mark.parametrize(
        ("utc_hours", "zh", "en"),
        [
            ((18, 19), "11-25 02:00–03:00", "25 Nov, 02:00–03:00"),
            ((15, 16), "11-24 23:00–24:00", "24 Nov, 23:00–24:00"),
            ((15, 17), "11-24 23:00 – 11-25 01:00", "24 Nov, 23:00 – 25 Nov, 01:00"),
            ((16, 40), "11-25 00:00–24:00", "25 Nov, 00:00–24:00"),
        ],
    )
    def test_of_a_window_is_half_open(self, utc_hours: tuple[int, int], zh: str, en: str) -> None:
        midnight = datetime(2026, 11, 24, tzinfo=UTC)
        start, end = (midnight + timedelta(hours=hour) for hour in utc_hours)

        assert formats.window(start, end, "zh-hans") == zh
        assert formats.window(start, end, "en") == en

    def test_of_a_window_that_ends_before_it_starts_is_refused(self) -> None:
        with pytest.raises(ValueError, match="ends after"):
            formats.window(AT, AT, "en")
