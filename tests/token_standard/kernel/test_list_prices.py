"""Vendors' list prices: dated, sourced, exact, and never guessed."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard import exchange, list_prices
from token_standard.list_prices import ListPriceError

ROWS = list_prices.list_prices()
GOOD = list_prices.to_json(ROWS[0])


class TestRows:
    def test_have_a_source_a_day_and_a_state(self):
        for row in ROWS:
            assert row.source.startswith("https://")
            assert date(2023, 1, 1) < row.day <= date(2026, 11, 24)
            assert row.dated != "record" or row.via
            assert list_prices.from_json(list_prices.to_json(row)) == row

    def test_stand_once(self):
        keys = [(row.vendor, row.model, row.kind, row.day, row.currency, row.source) for row in ROWS]

        assert len(set(keys)) == len(keys)

    def test_lie_where_real_lists_lie(self):
        for row in ROWS:
            assert Fraction(5, 100) <= row.per_million <= 50

    def test_are_put_together_by_model(self):
        offers = list_prices.offers()

        assert sum(len(one.rows) for one in offers) == len(ROWS)
        assert {one.head.model for one in list_prices.of_model("qwen3-32b")} == {"qwen3-32b"}
        assert {one.head.vendor for one in list_prices.of_model("deepseek-v3")} == {"DeepSeek"}
        assert list_prices.of_model("llama-3-8b") == []

    def test_are_worth_what_the_card_says(self):
        row = list_prices.from_json(
            GOOD | {"card": "llama-2-7b/fp16", "kind": "output", "price": "0.002", "unit": "1k"}
        )

        assert (row.per_million, row.per_million_st) == (2, 2)

    @pytest.mark.parametrize(
        "changes",
        [{"price": "0"}, {"price": "-1"}, {"price": "x"}, {"unit": "2k"}, {"currency": "JPY"}, {"kind": "image"},
         {"state": "guessed"}, {"dated": "never"}, {"source": ""}, {"date": "yesterday"}],
    )  # fmt: skip
    def test_refuse_what_is_none(self, changes):
        with pytest.raises(ListPriceError):
            list_prices.from_json(GOOD | changes)

    def test_miss_no_field(self):
        for name in GOOD:
            with pytest.raises(ListPriceError):
                list_prices.from_json({field: value for field, value in GOOD.items() if field != name})

    @given(st.decimals(min_value="0.0001", max_value="9999", places=4), st.sampled_from(list(list_prices.UNITS)))
    def test_are_exact_in_any_unit(self, price, unit):
        row = list_prices.from_json(GOOD | {"price": str(price), "unit": unit})

        assert row.per_million * list_prices.UNITS[unit] == Fraction(Decimal(price)) * 10**6


class TestClaims:
    def test_are_the_figures_of_2025_and_no_rows(self):
        (claim,) = list_prices.claims()

        assert (str(claim.low), str(claim.high), claim.currency, claim.unit) == ("0.003", "0.005", "CNY", "1")
        assert (claim.state, claim.year) == ("declared", 2025)
        assert all(row.state == "published" for row in ROWS)
        assert list_prices.claim_from_json(list_prices.claim_to_json(claim)) == claim

    def test_lie_far_above_every_published_list(self):
        low, high = list_prices.published("CNY")

        assert (low, high) == (Fraction(1, 10), 48)
        assert min(Fraction(claim.low) for claim in list_prices.claims()) * 10**6 > 50 * high

    def test_have_no_range_in_a_currency_without_lists(self):
        with pytest.raises(ListPriceError):
            list_prices.published("EUR")

    @pytest.mark.parametrize(
        "changes",
        [{"low": "0"}, {"low": "0.006"}, {"high": "x"}, {"unit": "2k"}, {"currency": "JPY"}, {"state": "published"},
         {"source": ""}, {"year": "once"}],
    )  # fmt: skip
    def test_refuse_what_is_none(self, changes):
        with pytest.raises(ListPriceError):
            list_prices.claim_from_json(list_prices.claim_to_json(list_prices.claims()[0]) | changes)


class TestUnknown:
    def test_rows_have_no_rate_and_say_why(self):
        known = {one.token for one in exchange.rates()}
        for one in exchange.unknown():
            assert one.reason and one.token not in known
            for name in (one.token, f"{one.token}/output"):
                with pytest.raises(exchange.RateUnknown, match="needs dual metering"):
                    exchange.rate(name, date(2026, 11, 24))

    def test_names_are_not_taken_for_others_that_begin_alike(self):
        with pytest.raises(exchange.RateError) as raised:
            exchange.rate("huawei/pangu2", date(2026, 11, 24))
        assert raised.value.code == "rate_error"

    def test_every_triangle_of_the_table_closes(self):
        day = date(2026, 11, 24)
        rates = [exchange.rate("ST", day), *(one for one in exchange.rates() if one.valid_on(day))]
        for a in rates:
            for b in rates:
                for c in rates:
                    there = exchange.convert(exchange.convert(Fraction(7), a, b).amount, b, c).amount
                    assert there == exchange.convert(Fraction(7), a, c).amount
