"""Clearing one book against a plain sort and cumulative sum of the same book: one thread, one run, median of several.

The workload is the reference one: bids and offers in turn, prices ~ Normal(10000, 200) ticks, 1–100 lots, seed 42; here
in 16 cohorts. Measured from columns in to fills out, without the checker. `--full` adds ten million orders. Prints a
table, then one JSON line a figure.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from market.matching_engine import Book, clear

RUNS = {10**4: 200, 10**5: 40, 10**6: 11, 10**7: 5}
COHORTS = 16
TARGET = 2.0


def main(arguments: list[str]) -> int:
    """Measure, print, and give 1 when a target is missed."""
    figures = [measure(size) for size in RUNS if size < 10**7 or "--full" in arguments]
    print(f"{'':<40}{'ms':>10}{'sort ms':>10}{'ratio':>7}{'target':>8}")
    for figure in figures:
        verdict = "" if figure["ok"] else "  MISSED"
        print(f"{figure['name']:<40}{figure['value']:>10.3f}{figure['against']:>10.3f}{figure['ratio']:>7.2f}"
              f"{figure['target']:>8.2f}{verdict}")  # fmt: skip
    for figure in figures:
        print(json.dumps(figure))
    return 0 if all(figure["ok"] for figure in figures) else 1


def measure(size: int) -> dict[str, Any]:
    """The median times of both after a warm-up, taken in turn, so that a busy moment hits neither alone."""
    book = _book(size)
    result = clear(book)
    assert size != 10**4 or (result.volume, result.price) == (127_295, 9_998), result
    _sort(book)
    spent = [(_seconds(lambda: clear(book)), _seconds(lambda: _sort(book))) for _ in range(RUNS[size])]
    ours, plain = (statistics.median(column) for column in zip(*spent, strict=True))
    ratio = ours / plain
    return {"name": f"engine: clear {size:,} orders", "value": round(ours * 1e3, 3), "unit": "ms",
            "against": round(plain * 1e3, 3), "ratio": round(ratio, 2), "target": TARGET, "ok": ratio <= TARGET}  # fmt: skip


def _book(size: int) -> Book:
    r = np.random.default_rng(42)
    side = (np.arange(size) % 2).astype(np.int8)
    price = np.clip(np.rint(r.normal(10_000, 200, size)), 1, None).astype(np.int64)
    quantity = r.integers(1, 101, size)
    keys = np.random.default_rng(7).bytes(32 * size)
    ties = [keys[at : at + 32] for at in range(0, 32 * size, 32)]
    return Book(side, price, quantity, np.arange(size) // -(-size // COHORTS), ties)


def _sort(book: Book) -> None:
    order = np.argsort(book.price, kind="stable")
    np.cumsum(book.quantity[order])


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
