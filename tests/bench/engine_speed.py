"""The matching engine against a plain sort and cumulative sum of the same book, one thread, in one run."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from market.matching_engine import Book, clear


def main(arguments: list[str]) -> int:
    """Print a table, then one JSON line a size; `--full` adds ten million orders."""
    sizes = [10**4, 10**5, 10**6, *([10**7] if "--full" in arguments else [])]
    found = []
    for count in sizes:
        book = _book(count)
        ours, plain = _seconds(lambda book=book: clear(book)), _seconds(lambda book=book: _sort(book))
        found.append((count, ours, plain, ours / plain))
    print(f"{'orders':>10} {'clear ms':>10} {'sort ms':>10} {'ratio':>7}")
    for count, ours, plain, ratio in found:
        print(f"{count:>10} {ours * 1e3:>10.2f} {plain * 1e3:>10.2f} {ratio:>7.2f}")
    for count, ours, plain, ratio in found:
        print(
            json.dumps(
                {"name": f"engine_clear_{count}", "value": round(ours * 1e3, 3), "unit": "ms",
                 "against": {"sort_and_cumsum": round(plain * 1e3, 3)}, "ratio": round(ratio, 3), "target": 2.0,
                 "ok": ratio <= 2.0}
            )
        )  # fmt: skip
    return 0


def _book(count: int) -> Book:
    r = np.random.default_rng(42)
    side = (np.arange(count) % 2).astype(np.int8)
    price = np.clip(np.rint(r.normal(10000, 200, count)), 1, None).astype(np.int64)
    quantity = r.integers(1, 101, count)
    return Book(
        side, price, quantity, np.zeros(count, dtype=np.int64), [number.to_bytes(32) for number in range(count)]
    )


def _sort(book: Book) -> None:
    order = np.argsort(book.price, kind="stable")
    np.cumsum(book.quantity[order])


def _seconds(work: Callable[[], object]) -> float:
    """Median of seven runs after a warm-up."""
    work()
    spent = []
    for _ in range(7):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
