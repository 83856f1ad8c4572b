import json
import random
from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard import catalogue, exchange, usage
from token_standard.__main__ import main
from token_standard.exchange import Mix, Pair, RateError

TODAY = date(2026, 11, 24)
CARD = catalogue.card("llama-3-8b")
TOKENS = [
    "ST",
    "deepseek/deepseek-v3/input",
    "deepseek/deepseek-v3/cached",
    "deepseek/deepseek-v3/output",
    "llama-2-7b:output",
    "llama-3-8b/fp8:input@512",
    "mistral-7b-v0.1:cached@8192",
]


def rate(token, **options):
    return exchange.rate(token, TODAY, **options)


def pairs(count=200, *, noise=0.05, ratio=2.0, seed=5):
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        n, g = chance.randint(200, 3000), chance.randint(20, 500)
        made.append(Pair(n, 0, g, round((n + g) * ratio * chance.uniform(1 - noise, 1 + noise))))
    return made


def fit(given, **options):
    defaults = {"seed": 1, "source": "test", "valid_from": date(2026, 1, 1), "valid_until": date(2027, 1, 1)}
    return exchange.fit("v/x", CARD, given, **defaults | options)


class TestTable:
    def test_says_of_every_rate_where_it_is_from_and_since_when(self):
        for each in exchange.rates():
            assert each.source
            assert each.valid_from
            assert 0 < each.low < each.st < each.high
            assert each.basis == "definition"

    def test_has_the_output_token_of_the_published_day(self):
        ratio = rate("deepseek/deepseek-v3/output").st / rate("deepseek/deepseek-v3/input").st

        assert abs(ratio / Fraction(22, 10) - 1) < Fraction(2, 100)

    @pytest.mark.parametrize("day", [date(2025, 2, 26), date(1970, 1, 1)])
    def test_has_no_rate_before_its_first_day(self, day):
        with pytest.raises(RateError, match="valid on"):
            exchange.rate("deepseek/deepseek-v3/output", day)

    def test_gives_the_reference_token_as_one(self):
        assert rate("llama-2-7b:output@2048").st == 1

    @pytest.mark.parametrize(
        "token",
        [
            "gold",
            "llama-2-7b:thought",
            "llama-2-7b:output@",
            "llama-2-7b:output@x",
            "llama-9:output",
            "llama-3-8b:output@0",
        ],
    )
    def test_names_a_token_it_does_not_have(self, token):  # fmt: skip
        if token.endswith("@"):
            assert rate(token).st == 1
            return
        with pytest.raises(ValueError, match=r"no token|not MODEL|no card|context"):
            rate(token)


class TestConvert:
    @given(st.sampled_from(TOKENS), st.sampled_from(TOKENS), st.sampled_from(TOKENS), st.fractions(0, 10**12))
    def test_closes_every_triangle_exactly(self, a, b, c, amount):
        first, second, third = rate(a), rate(b), rate(c)

        around = exchange.convert(
            exchange.convert(exchange.convert(amount, first, second).amount, second, third).amount, third, first
        )

        assert around.amount == amount
        assert around.low <= amount <= around.high

    @given(st.sampled_from(TOKENS), st.sampled_from(TOKENS), st.integers(0, 10**9), st.integers(0, 10**9))
    def test_adds_up(self, a, b, first, second):
        def convert(amount):
            return exchange.convert(Fraction(amount), rate(a), rate(b)).amount

        assert convert(first) + convert(second) == convert(first + second)

    def test_refuses_less_than_nothing(self):
        with pytest.raises(RateError):
            exchange.convert(Fraction(-1), rate("ST"), rate("ST"))


class TestFit:
    def test_divides_standard_tokens_by_the_vendors(self):
        given = pairs()

        fitted = fit(given)

        total = sum(usage.micro_st(CARD, n=pair.uncached, c=pair.cached, g=pair.generated) for pair in given)
        assert fitted.st == Fraction(total, 10**6 * sum(pair.vendor for pair in given))
        assert fitted.low < fitted.st < fitted.high
        assert fitted.basis == "metered"

    def test_is_the_same_for_the_same_seed_and_another_for_another(self):
        assert fit(pairs()) == fit(pairs())
        assert fit(pairs(), seed=2).low != fit(pairs()).low
        assert fit(pairs(), seed=2).st == fit(pairs()).st

    def test_covers_the_truth_about_as_often_as_it_says(self):
        everything = pairs(4000, seed=77)
        total = usage.total(CARD, [(pair.uncached, pair.cached, pair.generated) for pair in everything])
        truth = total.exact / sum(pair.vendor for pair in everything)

        covered = sum(
            each.low <= truth <= each.high
            for each in (fit(everything[start : start + 200]) for start in range(0, 4000, 200))
        )

        assert covered >= 16  # of 20; 19 on average

    def test_refuses_a_wide_interval(self):
        with pytest.raises(RateError, match="wider than 10 %"):
            fit([Pair(1000, 0, 100, 500 + 300 * (i % 7)) for i in range(30)])

    @pytest.mark.parametrize("given", [[], pairs(29), [Pair(1, 0, 1, 0)] * 40, [Pair(1, 0, 1, -1)] * 40, [Pair(0, 0, 0, 5)] * 40])  # fmt: skip
    def test_refuses_pairs_that_give_no_rate(self, given):
        with pytest.raises(RateError):
            fit(given)

    def test_is_refused_for_another_mix(self):
        fitted = fit(pairs())
        exchange.check_mix(fitted, fitted.mix)
        exchange.check_mix(rate("ST"), Mix(Fraction(0), Fraction(0), Fraction(1)))

        with pytest.raises(RateError, match="another mix"):
            exchange.check_mix(fitted, Mix(Fraction(0), Fraction(0), Fraction(1)))

    def test_survives_the_way_through_json(self):
        for each in (fit(pairs()), rate("deepseek/deepseek-v3/output")):
            assert exchange.from_json(json.loads(json.dumps(exchange.to_json(each)))) == each

    @pytest.mark.parametrize("changes", [{"st": "0"}, {"low": "9"}, {"basis": "hearsay"}, {"valid_from": "yesterday"}, {"mix": ["1"]}, {"st": None}])  # fmt: skip
    def test_refuses_json_that_is_no_rate(self, changes):
        with pytest.raises(RateError):
            exchange.from_json(exchange.to_json(fit(pairs())) | changes)

    def test_ends_on_its_last_day(self):
        fitted = fit(pairs())

        assert exchange.rate("v/x", date(2026, 12, 31), more=[fitted]) == fitted
        with pytest.raises(RateError, match="valid on"):
            exchange.rate("v/x", date(2027, 1, 1), more=[fitted])
        later = replace(fitted, valid_from=date(2027, 1, 1), valid_until=None)
        assert exchange.rate("v/x", date(2027, 1, 1), more=[fitted, later]) == later


class TestCommand:
    def test_converts_and_says_by_which_rates(self, capsys):
        assert main(["convert", "1000000", "deepseek/deepseek-v3/output", "ST", "--date", "2026-11-24"]) == 0

        out = capsys.readouterr().out
        expected = rate("deepseek/deepseek-v3/output").st * 10**6
        assert out.splitlines()[0] == f"{round(expected)} ST"
        assert "between" in out
        assert "by definition, 2025-02-27 to open: open-infra-index" in out

    def test_fits_a_rate_and_converts_by_it(self, capsys, tmp_path):
        table = tmp_path / "pairs.csv"
        rows = [f"{p.uncached},{p.cached},{p.generated},{p.vendor}" for p in pairs()]
        table.write_text("\n".join(["uncached,cached,generated,vendor_tokens", *rows]) + "\n")

        fitting = [
            "fit-rate",
            str(table),
            "--token",
            "v/x",
            "--card",
            "llama-3-8b",
            "--source",
            "own",
            "--from",
            "2026-01-01",
        ]
        assert main(fitting) == 0
        (tmp_path / "rate.json").write_text(capsys.readouterr().out)
        convert = ["convert", "100", "v/x", "ST", "--rates", str(tmp_path / "rate.json"), "--date", "2026-11-24"]
        assert main([*convert, "--mix", "1600:0:260"]) == 0
        assert "by metered" in capsys.readouterr().out
        assert main([*convert, "--mix", "0:0:1"]) == 2
        assert "another mix" in capsys.readouterr().err

    @pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "uncached,cached,generated,vendor_tokens\n1,2,3\n", "uncached,cached,generated,vendor_tokens\n1,2,3,-4\n", "uncached,cached,generated,vendor_tokens\n1,2,3,4,5\n"])  # fmt: skip
    def test_refuses_a_file_of_other_things(self, capsys, tmp_path, content):
        (tmp_path / "pairs.csv").write_text(content)
        fitting = ["fit-rate", str(tmp_path / "pairs.csv"), "--token", "v", "--card", "llama-3-8b", "--source", "o", "--from", "2026-01-01"]  # fmt: skip

        assert main(fitting) == 2

        assert "line" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [["-5", "ST", "ST"], ["1e9", "ST", "ST"], ["1", "ST", "ST", "--date", "soon"], ["1", "ST", "ST", "--mix", "0:0:0"]])  # fmt: skip
    def test_refuses_a_wrong_command_line(self, capsys, arguments):
        with pytest.raises(SystemExit):
            main(["convert", *arguments])


class TestFirstDays:
    def test_are_written_somewhere_and_say_the_same_day(self):
        for one in exchange.rates():
            day = one.valid_from
            spellings = (f"{day:%Y.%m.%d}", f"{day:%Y/%m/%d}", f"{day:%m/%d/%Y}")
            assert one.dated.startswith("github.com/")
            assert any(spelling in one.dated for spelling in spellings), one.token
