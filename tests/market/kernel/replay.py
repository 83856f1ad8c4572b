"""A seeded market day through the pure engine; prints the SHA-256 of everything that it came to. Run as a program."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np

from market.matching_engine import Book, clear
from market.matching_engine.components import clear_component
from market.matching_engine.coupled import Component, Order

CELLS, LOW, HIGH = 6, 50, 150


def main(days: int, rounds: int, orders: int, shuffled: int) -> str:
    """Days of rounds of so many orders, each plain and coupled; `shuffled` seeds another order of the rows."""
    digest = hashlib.sha256()
    chance, other = np.random.default_rng(42), np.random.default_rng(shuffled)
    for number in range(days * rounds):
        seed = hashlib.sha256(f"round {number}".encode()).digest()
        rows = [_order(chance, seed, row) for row in range(orders)]
        place = other.permutation(orders) if shuffled else np.arange(orders)
        back = np.argsort(place)
        mixed = [rows[at] for at in place]
        plain = clear(_book(mixed))
        digest.update(repr((plain.price, plain.low, plain.high, plain.volume, plain.fill[back].tolist())).encode())
        if number % 5 == 0:
            some = mixed[: orders // 4] if not shuffled else [row for row in mixed if rows.index(row) < orders // 4]
            found = clear_component(Component(some, (LOW,) * CELLS, (HIGH,) * CELLS, 1, seed))
            fills = sorted((one.tie, sorted(lots.items())) for one, lots in zip(some, found.fills, strict=True))
            digest.update(repr((found.price, found.low, found.high, found.volume, found.welfare, fills)).encode())
    return digest.hexdigest()


def _order(chance: np.random.Generator, seed: bytes, row: int) -> Order:
    side = int(chance.integers(2))
    cells = sorted(chance.choice(CELLS, size=1 if side else int(chance.integers(1, 4)), replace=False).tolist())
    limits = tuple(int(limit) for limit in chance.integers(LOW, HIGH + 1, size=len(cells)))
    minimum = int(chance.integers(1, 5)) if row % 40 == 0 else 0
    tie = hashlib.sha256(seed + row.to_bytes(4, "big")).digest()
    return Order(side, int(chance.integers(5, 100)), int(chance.integers(4)), tie, tuple(cells), limits, minimum)


def _book(rows: list[Order]) -> Book:
    return Book(
        side=np.array([one.side for one in rows], dtype=np.int8),
        price=np.array([one.limits[0] for one in rows], dtype=np.int64),
        quantity=np.array([one.quantity for one in rows], dtype=np.int64),
        cohort=np.array([one.cohort for one in rows], dtype=np.int64),
        tie=[one.tie for one in rows],
        collar_low=LOW,
        collar_high=HIGH,
        tick=1,
    )


if __name__ == "__main__":
    print(main(*(int(text) for text in sys.argv[1:])))
