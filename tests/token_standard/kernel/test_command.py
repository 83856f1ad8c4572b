import os
import subprocess
import sys
from pathlib import Path

import pytest

from token_standard.__main__ import main

DATA = Path(__file__).parents[2] / "data" / "tokens"
CODE = str(DATA / "AzureLLMInferenceTrace_code.csv.gz")
MOONCAKE = str(DATA / "mooncake_conversation_trace.jsonl.gz")


class TestTotal:
    def test_prints_both_totals_with_their_labels(self, capsys):
        assert main(["total", "--card", "llama-3-8b", CODE]) == 0

        out = capsys.readouterr().out
        assert out.splitlines()[1:] == [
            "requests   8819",
            "prompt     18059974",
            "cached     0",
            "generated  245896",
            "total      1594084.505675 ST  (exact sum, rounded once)",
            "invoiced   1594084.505646 ST  (sum of records, as invoiced)",
        ]
        assert out.startswith("card       llama-3-8b fp16, ST-2026.1, card_")

    def test_takes_the_prefix_cache_into_account(self, capsys):
        assert main(["total", "--card", "llama-3-8b", "--prefix-cache", MOONCAKE]) == 0

        out = capsys.readouterr().out
        assert "cached     54098293\n" in out
        assert "invoiced   17778649.354611 ST" in out

    def test_values_in_the_format_asked_for(self, capsys):
        assert main(["total", "--card", "llama-3-8b", "--format", "fp8", CODE]) == 0

        assert "card       llama-3-8b fp8" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["--card", "llama-9", CODE], "no card for model 'llama-9'"),
            (["--card", "llama-3-8b", "--format", "fp2", CODE], "no 'fp2' card for llama-3-8b"),
            (["--card", "llama-3-8b", "/nowhere.csv"], "No such file"),
            (["--card", "llama-3-8b", "--prefix-cache", CODE], "has no hash ids"),
            (["--card", "llama-3-8b", __file__], "line 1: expected the header"),
        ],
    )
    def test_refuses_bad_input_with_one_sentence(self, capsys, arguments, problem):
        assert main(["total", *arguments]) == 2

        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("token_standard: ")
        assert problem in captured.err
        assert captured.err.count("\n") == 1

    @pytest.mark.parametrize("arguments", [[], ["total"], ["total", "--card", "llama-3-8b"], ["sell"]])
    def test_refuses_a_wrong_command_line(self, capsys, arguments):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)

        assert stopped.value.code == 2
        assert "usage:" in capsys.readouterr().err


class TestCards:
    def test_lists_the_catalogue(self, capsys):
        assert main(["cards"]) == 0

        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1 + 1 + 14 + 1
        assert lines[3].split()[:12] == [
            "llama-3-8b",
            "8.03",
            "7.50",
            "16.08",
            "128.0",
            "0.300",
            "0.449",
            "1.047",
            "3.438",
            "0.0794",
            "0.227",
            "0.0411",
        ]


class TestModule:
    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        root = Path(__file__).parents[3]
        return subprocess.run(
            [sys.executable, "-m", "token_standard", *arguments],
            cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def test_runs_and_helps(self):
        helped = self.run("total", "--help")

        assert helped.returncode == 0
        assert "--prefix-cache" in helped.stdout

    def test_leaves_with_two_on_bad_input(self):
        assert self.run("total", "--card", "llama-9", CODE).returncode == 2

    def test_imports_neither_numpy_nor_django(self):
        script = "import sys, token_standard.__main__; print([m for m in ('numpy', 'django') if m in sys.modules])"
        root = Path(__file__).parents[3]

        out = subprocess.run(
            [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
        ).stdout

        assert out.strip() == "[]"
