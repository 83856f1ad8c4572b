"""Books and cases from files: exact decimals, one grid a file, errors that name the place."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from market.matching_engine.files import main

DATA = Path(__file__).resolve().parents[2] / "data"


def run(*arguments: object) -> list[dict[str, str]]:
    out = io.StringIO()
    assert main([str(one) for one in arguments], out) == 0
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def folder(path: Path, text: str) -> Path:
    (path / "books.csv").write_text("book,side,price,quantity\n" + text)
    return path


def cases(path: Path, *orders: dict[str, Any], kind: str = "call_auction") -> Path:
    file = path / "cases.json"
    file.write_text(json.dumps({"cases": [{"id": "one", "kind": kind, "orders": orders}]}))
    return file


def test_each_real_book_has_its_published_price_in_the_interval() -> None:
    with (DATA / "gme" / "expected.csv").open() as file:
        published = {row["book"]: row["published_price"] for row in csv.DictReader(file)}
    found = {row["book"]: row for row in run("books", DATA / "gme")}
    assert found.keys() == published.keys()
    for name, row in found.items():
        assert int(row["lo"]) <= int(published[name]) <= int(row["hi"])
        if row["lo"] == row["hi"]:
            assert row["price"] == published[name]


def test_each_worked_auction_has_the_volume_and_interval_of_its_source() -> None:
    path = DATA / "cases" / "market_cases.json"
    found = {row["id"]: row for row in run("cases", path)}
    for case in json.loads(path.read_text())["cases"]:
        row = found.pop(case["id"])
        if case["kind"] != "call_auction":
            assert (row["lo"], row["hi"]) == ("unsupported", None)
            continue
        expected = case["expected"]
        assert Decimal(row["volume"]) == Decimal(expected["volume"])
        ends = [Decimal(row[end]) if row[end] else None for end in ("lo", "hi")]
        assert ends == [None if end is None else Decimal(end) for end in expected["equilibrium_price_interval"]]
        filled = sum(Decimal(one.split(":")[1]) for one in row["fills"].split(";"))
        assert filled == 2 * Decimal(expected["volume"])
    assert not found


def test_decimals_are_exact_and_the_tick_is_the_finest_of_the_file(tmp_path: Path) -> None:
    text = "a,buy,1.10,2.5\na,sell,1.05,1.25\nb,buy,3,1\nb,sell,2.001,1\nc,buy,1,1\n"
    a, b, c = run("books", folder(tmp_path, text))
    assert a == {"book": "a", "lo": "1.1", "hi": "1.1", "price": "1.1", "volume": "1.25"}
    assert (b["lo"], b["hi"], b["price"]) == ("2.001", "3", "2.5")
    assert c == {"book": "c", "lo": "", "hi": "", "price": "", "volume": "0"}


def test_an_end_without_a_bound_is_empty(tmp_path: Path) -> None:
    (row,) = run("books", folder(tmp_path, "a,buy,,5\na,sell,,5\n"))
    assert row == {"book": "a", "lo": "", "hi": "", "price": "", "volume": "5"}


def test_the_file_order_decides_nothing(tmp_path: Path) -> None:
    orders = [{"id": f"b{n}", "side": "buy", "price": "2", "qty": "3"} for n in range(4)]
    orders += [{"id": "s", "side": "sell", "price": "2", "qty": "7"}]
    fills = []
    for rows in (orders, orders[::-1]):
        (row,) = run("cases", cases(tmp_path, *rows))
        fills.append(set(row["fills"].split(";")))
    assert fills[0] == fills[1]


@pytest.mark.parametrize(("text", "said"), [
    ("a,bid,1,1\n", "line 2: a side is buy or sell"),
    ("a,buy,x,1\n", "line 2: 'x' is no number"),
    ("a,buy,NaN,1\n", "no number that can be cleared exactly"),
    ("a,buy,1,-1\n", "not below zero"),
    ("a,buy,1e30,1\n", "no number that can be cleared exactly"),
    ("a,buy,1,9223372036854775807\na,sell,1,9223372036854775807\n", "2^62"),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert main(["books", str(folder(tmp_path, text))], io.StringIO()) == 2
    assert said in capsys.readouterr().err


def test_a_missing_file_and_a_wrong_command_are_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["books", str(tmp_path / "none")]) == 2
    assert main(["shoes", str(tmp_path)]) == 2
    assert main(["cases", str(cases(tmp_path, {"id": "x"}))]) == 2
    assert "usage" in capsys.readouterr().err
