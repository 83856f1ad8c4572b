"""docs/standard-token.md: every sum is added up again, every command is run."""

import ast
import operator
import re
import shlex
from fractions import Fraction
from pathlib import Path

import pytest

from token_standard import catalogue, usage
from token_standard import errors as _errors
from token_standard.__main__ import main
from token_standard.version import CURRENT

TEXT = (Path(__file__).parents[3] / "docs" / "standard-token.md").read_text(encoding="utf-8")
SUMS = [line for block in re.findall(r"```sum\n(.*?)```", TEXT, re.S) for line in block.splitlines()]
COMMANDS = re.findall(r"```console\n\$ python -m token_standard (.*?)\n(.*?)```", TEXT, re.S)
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(node, names):
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](value(node.left, names), value(node.right, names))
    return names[node.id] if isinstance(node, ast.Name) else Fraction(node.value)


def worked_out():
    """Name, exact value and printed text of every line, each with the names above it."""
    names = {}
    for line in SUMS:
        name, expression, printed = line.split(" = ")
        names[name] = value(ast.parse(expression, mode="eval").body, names)
        yield name, names[name], printed


LINES = list(worked_out())
VALUES = {name: exact for name, exact, _ in LINES}


class TestSums:
    @pytest.mark.parametrize(("name", "exact", "printed"), LINES, ids=[name for name, _, _ in LINES])
    def test_come_out_to_the_last_printed_digit(self, name, exact, printed):
        places = len(printed.partition(".")[2])

        assert abs(exact - Fraction(printed)) <= Fraction(1, 2 * 10**places)

    def test_are_those_of_the_published_card(self):
        card = catalogue.card("llama-3-8b")
        exact = card.coefficients

        assert VALUES["t_ref"] == CURRENT.reference_seconds
        assert [VALUES[name] for name in ("a_p", "b_p", "c_c", "a_d", "b_d")] == [
            exact.a_p, exact.b_p, exact.c_c, exact.a_d, exact.b_d,
        ]  # fmt: skip
        assert VALUES["total"] == usage.st(card, n=1000, c=200, g=300)


class TestCommands:
    @pytest.mark.parametrize(("command", "expected"), COMMANDS, ids=[command for command, _ in COMMANDS])
    def test_print_what_the_page_shows(self, capsys, command, expected):
        assert main(shlex.split(command)) == 0

        assert capsys.readouterr().out == expected

    def test_are_all_read(self):
        assert len(COMMANDS) == TEXT.count("```console")


class TestErrors:
    def test_have_the_codes_of_the_page(self):
        own = {
            each.code
            for kind in _errors.TokenStandardError.__subclasses__()
            for each in [kind, *kind.__subclasses__()]
            if each.__module__.startswith("token_standard.") and "learned" not in each.__module__
        }

        printed = set(re.findall(r"`([a-z_]+)`", TEXT.partition("## Errors")[2].partition("## Limits")[0]))
        assert own - {"unknown_tokenizer"} <= printed | {"token_standard_error"}
