import json
from fractions import Fraction
from pathlib import Path

import pytest

from tests.token_standard.kernel.configs import TABLE
from token_standard import catalogue, estimates, usage
from token_standard.__main__ import main

DATA = Path(__file__).parents[2] / "data" / "tokens"
CODE = str(DATA / "AzureLLMInferenceTrace_code.csv.gz")
MOONCAKE = str(DATA / "mooncake_conversation_trace.jsonl.gz")


class TestInterval:
    @pytest.mark.parametrize(
        ("model", "form", "low", "high", "method"),
        [
            ("llama-3-8b", "fp16", Fraction(71, 100), Fraction(129, 100), "closed form"),
            ("mixtral-8x7b", "fp16", Fraction(100, 115), Fraction(100, 41), "routed experts"),
            ("deepseek-v3-mu1", "fp8", Fraction(70, 100), Fraction(130, 100), "published corrections"),
        ],
    )
    def test_says_how_wide_and_why(self, model, form, low, high, method):
        card = catalogue.card(model, form)

        result = estimates.estimate(card, [(1000, 0, 200), (10, 5, 1)])

        assert result.total.exact == usage.total(card, [(1000, 0, 200), (10, 5, 1)]).exact
        assert (result.interval.low, result.interval.high) == (low * result.total.exact, high * result.total.exact)
        assert result.interval.method.startswith(method)


class TestCommand:
    def out(self, capsys, *arguments):
        assert main(["estimate", *arguments]) == 0
        return capsys.readouterr().out

    def test_values_a_request_of_a_known_model(self, capsys):
        out = self.out(capsys, "llama-2-7b", "--input", "2000", "--output", "300", "--cached", "500")

        card = catalogue.card("llama-2-7b")
        assert f"total       {usage.st_text(usage.micro_st(card, n=1500, c=500, g=300))} ST, as invoiced" in out
        assert "at 2048     0.074132 ST a prompt token (mean), 1.000000 ST an output token" in out
        assert "interval" in out
        assert "method" in out

    def test_takes_all_but_the_last_token_from_the_cache(self, capsys):
        out = self.out(capsys, "llama-2-7b", "--input", "2000", "--cached", "--output", "1")

        assert "2000 prompt tokens (1999 cached), 1 output" in out

    def test_values_a_request_of_a_configuration(self, capsys, tmp_path):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(TABLE["qwen2.5-7b"]))

        card = catalogue.card("qwen2.5-7b", "fp8")
        out = self.out(capsys, str(path), "--input", "700", "--output", "80", "--format", "fp8")

        assert f"total       {usage.st_text(usage.micro_st(card, n=700, c=0, g=80))} ST" in out

    def test_values_a_trace(self, capsys):
        out = self.out(capsys, "llama-3-8b", "--trace", CODE)

        assert "exact       1594084.505675 ST" in out
        assert "total       1594084.505646 ST, as invoiced" in out

    def test_values_a_trace_with_its_repeated_blocks_cached(self, capsys):
        out = self.out(capsys, "llama-3-8b", "--trace", MOONCAKE, "--cached")

        assert "total       17778649.354611 ST, as invoiced" in out

    def test_takes_the_only_format_of_a_corrected_card(self, capsys):
        assert "deepseek-v3-mu1 fp8" in self.out(capsys, "deepseek-v3-mu1")

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["llama-9"], "no card for model"),
            (["none.json"], "No such file"),
            (["none.onnx"], "onnx"),
            (["none.mlir"], "No such file"),
            (["llama-3-8b", "--input", "5", "--cached", "6"], "more than --input"),
            (["llama-3-8b", "--trace", CODE, "--input", "5"], "either --trace or --input"),
            (["llama-3-8b", "--trace", CODE, "--cached"], "no hash ids"),
        ],
    )
    def test_refuses_with_one_sentence(self, capsys, arguments, problem):
        assert main(["estimate", *arguments]) == 2

        error = capsys.readouterr().err
        assert problem in error
        assert error.count("\n") == 1

    @pytest.mark.parametrize("count", ["-1", "1.5", "ten", "1e3", "9" * 20, "²"])
    def test_refuses_counts_that_are_none(self, capsys, count):
        with pytest.raises(SystemExit):
            main(["estimate", "llama-3-8b", "--input", count])

        assert "whole number of tokens" in capsys.readouterr().err
