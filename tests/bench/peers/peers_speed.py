"""The reference book through other people's auctions, side by side with ours, in one run and one thread.

Peers: HiGHS (the auction as a linear program of most welfare), pymarket (stepwise curves), nempy (Australia's dispatch, with
bids as loads), and Liquibook (C++, continuous matching in the order of arrival) where LIQUIBOOK names its source folder
and a C++ compiler is there. Who is right: each volume and price is held against the book itself. Run by `make bench-peers`
in an environment of its own. Prints a table, then one JSON line a figure.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np

from market.matching_engine import Book, check, clear

SIZES = (1_000, 10_000, 100_000)
Found = tuple[float, int | None, str]  # seconds, volume, prices


def main() -> int:
    """Measure every peer that is here and can bear the size."""
    figures = []
    print(f"{'orders':>8}  {'engine':<10}{'seconds':>11}{'x ours':>10}{'volume':>12}  {'price':<16} verdict")
    for size in SIZES:
        book = reference(size)
        result = clear(book)
        check(book, result)
        ours = statistics.median(_seconds(lambda: clear(book)) for _ in range(9))
        print(f"{size:>8,}  {'ours':<10}{ours:>11.5f}{1:>10.1f}{result.volume:>12,}  {result.price!s:<16} checked")
        for name, peer, most in (("HiGHS", highs, 100_000), ("pymarket", pymarket, 10_000), ("nempy", nempy, 10_000),
                                 ("Liquibook", liquibook, 10**6)):  # fmt: skip
            if size > most:
                continue
            found = peer(book)
            if found is None:
                continue
            seconds, volume, price = found
            same = (volume, price) == (result.volume, str(result.price))
            verdict = "same" if same else _verdict(book, result, volume, price)
            print(
                f"{size:>8,}  {name:<10}{seconds:>11.5f}{seconds / ours:>10.1f}{volume or 0:>12,}  {price:<16} {verdict}"
            )
            figures.append({"name": f"peers: {name}, {size:,} orders", "value": round(ours, 6), "unit": "s",
                            "against": round(seconds, 6), "ratio": round(ours / seconds, 4), "target": 1.0,
                            "ok": ours <= seconds})  # fmt: skip
    for figure in figures:
        print(json.dumps(figure))
    return 0


def reference(size: int) -> Book:
    """The reference workload of the engine's own benchmark."""
    r = np.random.default_rng(42)
    side = (np.arange(size) % 2).astype(np.int8)
    price = np.clip(np.rint(r.normal(10_000, 200, size)), 1, None).astype(np.int64)
    quantity = r.integers(1, 101, size)
    return Book(side, price, quantity, np.zeros(size, dtype=np.int64), [n.to_bytes(32) for n in range(size)])


def highs(book: Book) -> Found:
    """Most welfare, as a program with one row; its dual is a price, its volume only one of the possible ones."""
    import highspy

    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    model, count = highspy.HighsLp(), len(book.side)
    sign = np.where(book.side == 0, 1.0, -1.0)
    model.num_col_, model.num_row_ = count, 1
    model.col_cost_, model.col_lower_, model.col_upper_ = (
        sign * book.price,
        np.zeros(count),
        book.quantity.astype(float),
    )
    model.row_lower_ = model.row_upper_ = np.zeros(1)
    model.sense_ = highspy.ObjSense.kMaximize
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_ = np.arange(count + 1), np.zeros(count, dtype=np.int32)
    model.a_matrix_.value_ = sign
    began = time.perf_counter()
    solver.passModel(model)
    solver.run()
    solution = solver.getSolution()
    spent = time.perf_counter() - began
    volume = round(float(np.array(solution.col_value)[book.side == 0].sum()))
    return spent, volume, str(round(abs(solution.row_dual[0])))


def pymarket(book: Book) -> Found:
    """Stepwise curves and where they meet."""
    from pymarket import Market
    from pymarket.bids import demand_curves as curves

    market = Market()
    for number, (side, price, quantity) in enumerate(zip(book.side, book.price, book.quantity, strict=True)):
        market.accept_bid(int(quantity), float(price), number, bool(side == 0))
    bids = market.bm.get_df()
    began = time.perf_counter()
    demand, _ = curves.demand_curve_from_bids(bids)
    supply, _ = curves.supply_curve_from_bids(bids)
    volume, _, _, price = curves.intersect_stepwise(demand, supply, k=0.5)
    spent = time.perf_counter() - began
    return spent, None if volume is None else int(volume), "none" if volume is None else f"{float(price):g}"


def nempy(book: Book) -> Found:
    """A dispatch of loads and generators in one region without demand of its own."""
    import pandas as pd
    from nempy import markets

    units = [str(number) for number in range(len(book.side))]
    kinds = np.where(book.side == 0, "load", "generator")
    began = time.perf_counter()
    market = markets.SpotMarket(
        market_regions=["R"], unit_info=pd.DataFrame({"unit": units, "region": "R", "dispatch_type": kinds})
    )
    market.set_unit_volume_bids(pd.DataFrame({"unit": units, "dispatch_type": kinds, "1": book.quantity.astype(float)}))
    market.set_unit_price_bids(pd.DataFrame({"unit": units, "dispatch_type": kinds, "1": book.price.astype(float)}))
    market.set_demand_constraints(pd.DataFrame({"region": ["R"], "demand": [0.0]}))
    market.dispatch()
    dispatch, price = market.get_unit_dispatch(), market.get_energy_prices()["price"].iloc[0]
    spent = time.perf_counter() - began
    volume = dispatch.loc[dispatch["dispatch_type"] == "generator", "dispatch"].sum()
    return spent, round(float(volume)), f"{price:g}"


def liquibook(book: Book) -> Found | None:
    """Continuous matching, order by order: another kind of market, shown for its speed and its many prices."""
    source, compiler = os.environ.get("LIQUIBOOK"), shutil.which("g++")
    if not source or compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "orders"
        here = Path(__file__).with_name("liquibook_orders.cpp")
        include = Path(source) / "src"
        subprocess.run([compiler, "-O2", "-std=c++17", f"-I{include}", str(here), "-o", str(program)], check=True)
        lines = "\n".join(f"{s} {p} {q}" for s, p, q in zip(book.side, book.price, book.quantity, strict=True))
        said = subprocess.run([str(program)], input=lines, capture_output=True, text=True, check=True).stdout.split()
    return float(said[0]), int(said[1]), f"{said[2]}–{said[3]}"


def _verdict(book: Book, result: Any, volume: int | None, price: str) -> str:
    if "–" in price:
        return "many prices: no auction"
    if not price.lstrip("-").isdigit() or not result.low <= int(price) <= result.high:
        return "does not clear the book"
    return "price clears, less volume" if (volume or 0) < result.volume else "another price that clears"


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
