"""Clearing 10,000 flexible bids x 1,000 offers x 120 cells, with the share of the solver; target: inside a 5 s interval.

The book: 10 vendors x 4 regions x 3 tiers. Half of the bids take any vendor, the others 1 to 3; half any region, the
others 1 or 2; the minimum tier is uniform. Limits ~ Normal(10000, 200) ticks on both sides, bids 1-100 lots, offers
1-1,000 in a uniform cell, seed 42. Compared with a plain sort of the same orders by limit in the same run. Prints a
table, then one JSON line a figure.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from market.matching_engine.certificate import check_component
from market.matching_engine.components import clear_component
from market.matching_engine.coupled import Component, Order
from tests.market.kernel.printed import printed

VENDORS, REGIONS, TIERS = 10, 4, 3
TARGET_SECONDS = 5.0
SIZES = ((1_000, 100), (10_000, 1_000))


def main() -> int:
    """Measure, print, and give 1 when the target is missed."""
    figures = []
    for bids, offers in SIZES:
        component = book(bids, offers)
        began = time.perf_counter()
        outcome = clear_component(component)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        breaches = check_component(printed(component, outcome))
        checked = time.perf_counter() - began
        assert breaches == [], breaches
        began = time.perf_counter()
        sorted(component.orders, key=lambda one: one.limits[0])
        plain = time.perf_counter() - began
        print(f"{bids:>7,} bids {offers:>6,} offers 120 cells: {seconds:6.2f} s to clear, {checked:6.2f} s to check, "
              f"{sum(outcome.volume):,} lots")  # fmt: skip
        figures.append({"name": f"engine: clear {bids:,} x {offers:,} x 120", "value": round(seconds, 3), "unit": "s",
                        "against": round(plain, 5), "ratio": round(seconds / plain, 1), "target": TARGET_SECONDS,
                        "ok": seconds <= TARGET_SECONDS})  # fmt: skip
    for figure in figures:
        print(json.dumps(figure))
    return 0 if all(figure["ok"] for figure in figures) else 1


def book(bids: int, offers: int) -> Component:
    """The reference book of coupled cells."""
    r = np.random.default_rng(42)
    cell = np.arange(VENDORS * REGIONS * TIERS).reshape(VENDORS, REGIONS, TIERS)
    orders = []
    for number in range(bids):
        vendors = np.arange(VENDORS) if r.random() < 0.5 else r.choice(VENDORS, r.integers(1, 4), replace=False)
        regions = np.arange(REGIONS) if r.random() < 0.5 else r.choice(REGIONS, r.integers(1, 3), replace=False)
        tiers = np.arange(r.integers(0, TIERS), TIERS)
        cells = tuple(sorted(cell[np.ix_(vendors, regions, tiers)].ravel().tolist()))
        limit = int(np.rint(r.normal(10_000, 200)))
        orders.append(Order(0, int(r.integers(1, 101)), 1, _tie(number), cells, (limit,) * len(cells)))
    for number in range(offers):
        limit = int(np.rint(r.normal(10_000, 200)))
        at = int(r.integers(0, cell.size))
        orders.append(Order(1, int(r.integers(1, 1_001)), 1, _tie(bids + number), (at,), (limit,)))
    return Component(orders, (8_000,) * cell.size, (12_000,) * cell.size, 1, bytes(32))


def _tie(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8)).digest()


if __name__ == "__main__":
    sys.exit(main())
