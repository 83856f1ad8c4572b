"""Books of a real exchange with the prices that it published, and auctions worked out in rule books."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.matching_engine import Book, check, clear

DATA = Path(__file__).resolve().parents[2] / "data"
FOLDER = Path(os.environ.get("TOKENSPOT_GME_BOOKS") or DATA / "gme")
CASES = [
    case
    for case in json.loads((DATA / "cases" / "market_cases.json").read_text())["cases"]
    if case["kind"] == "call_auction"
]


def _book(rows: list[tuple[str, str, str]], scale: int = 1) -> Book:
    anything = np.array([price in ("", None) for _, price, _ in rows])
    return Book(
        np.array([0 if side == "buy" else 1 for side, _, _ in rows], dtype=np.int8),
        np.array([0 if price in ("", None) else int(Decimal(price) * scale) for _, price, _ in rows], dtype=np.int64),
        np.array([int(quantity) for *_, quantity in rows], dtype=np.int64),
        np.zeros(len(rows), dtype=np.int64),
        [number.to_bytes(32) for number in range(len(rows))],
        takes_any=anything,
    )


def _books() -> dict[str, list[tuple[str, str, str]]]:
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    with gzip.open(FOLDER / "books.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            found[row["book"]].append((row["side"], row["price"], row["quantity"]))
    return found


def _published() -> dict[str, int]:
    with (FOLDER / "expected.csv").open() as file:
        return {row["book"]: int(row["published_price"]) for row in csv.DictReader(file)}


def _clears(rows: list[tuple[str, str, str]], price: int) -> bool:
    """Whether demand above the price is within supply up to it, and supply below it within demand from it up."""
    dearer, at_least, cheaper, at_most = 0, 0, 0, 0
    for side, limit, quantity in rows:
        lots, gain = int(quantity), 1 if limit == "" else int(limit) - price if side == "buy" else price - int(limit)
        if side == "buy":
            dearer, at_least = dearer + lots * (gain > 0), at_least + lots * (gain >= 0)
        else:
            cheaper, at_most = cheaper + lots * (gain > 0), at_most + lots * (gain >= 0)
    return dearer <= at_most and cheaper <= at_least


class TestRealBooks:
    def test_the_published_price_clears_each_book_and_is_ours_where_only_one_does(self) -> None:
        books, published = _books(), _published()
        assert len(books) == len(published) >= 20
        single = 0
        for name, rows in books.items():
            one = _book(rows)
            result = clear(one)
            check(one, result)
            price = published[name]
            assert _clears(rows, price), name
            assert result.low <= price <= result.high, name
            if result.low == result.high:
                single += 1
                assert result.price == price, name
        assert single > len(books) // 2
        if len(books) == 409:
            assert single == 341


class TestWorkedAuctions:
    @pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
    def test_has_the_volume_and_the_interval_of_its_source_and_our_price_in_it(self, case: dict[str, Any]) -> None:
        orders = case["orders"]
        prices = [Decimal(o["price"]) for o in orders if o.get("price") not in (None, "")]
        scale = 10 ** max([0, *(-int(p.as_tuple().exponent) for p in prices)])
        one = _book([(o["side"], o.get("price"), o["qty"]) for o in orders], scale)

        result = clear(one)

        check(one, result)
        expected = case["expected"]
        ends = [None if end is None else int(Decimal(end) * scale) for end in expected["equilibrium_price_interval"]]
        assert result.volume == int(Decimal(expected["volume"]))
        assert [result.low, result.high] == ends
        middle = expected["midpoint_price"]  # the source's own price follows other rules inside the interval
        assert result.price == (None if middle is None else int(Decimal(middle) * scale // 1))
