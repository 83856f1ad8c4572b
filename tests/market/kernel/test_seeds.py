"""What fixes the order set of a round, and the chance that is left to it."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.kernel.seeds import leaves, root_of, ties_of

SEED = bytes(range(32))


def _leaves(count: int, *, seed: bytes = SEED, **changed: int) -> list[bytes]:
    order = np.array([number.to_bytes(16) for number in range(count)], dtype="V16")
    columns = {name: np.arange(count, dtype=np.int64) for name in ("side", "limit", "quantity", "cohort")}
    for name, value in changed.items():
        columns[name][0] = value
    return leaves(order, **columns, seed=seed)


class TestLeaves:
    def test_hash_what_an_order_says_with_a_salt_of_the_seed(self) -> None:
        salt = hashlib.sha256(b"salt" + SEED).digest()
        row = (1).to_bytes(16) + (1).to_bytes(8) * 4

        assert _leaves(2)[1] == hashlib.sha256(b"\0" + salt + row).digest()

    @pytest.mark.parametrize("field", ["side", "limit", "quantity", "cohort"])
    def test_change_with_every_field_and_with_the_seed(self, field: str) -> None:
        assert _leaves(2, **{field: 9})[0] != _leaves(2)[0]
        assert _leaves(2, **{field: 9})[1] == _leaves(2)[1]
        assert not set(_leaves(2, seed=bytes(32))) & set(_leaves(2))


class TestRoot:
    def test_of_nothing_one_and_three_are_as_written(self) -> None:
        a, b, c = sorted(_leaves(3))
        node = hashlib.sha256(b"\1" + a + b).digest()

        assert root_of([]) == hashlib.sha256(b"").digest()
        assert root_of([a]) == a
        assert root_of([c, a, b]) == hashlib.sha256(b"\1" + node + c).digest()

    @given(st.integers(1, 40), st.randoms(use_true_random=False))
    def test_is_the_same_in_any_order_and_another_without_one_leaf(self, count: int, dice: object) -> None:
        leaf = _leaves(count)
        mixed = list(leaf)
        dice.shuffle(mixed)  # type: ignore[attr-defined]

        assert root_of(mixed) == root_of(leaf)
        assert root_of(mixed[1:]) != root_of(leaf)


class TestTies:
    def test_are_hashes_of_seed_root_and_leaf(self) -> None:
        leaf = _leaves(5)
        root = root_of(leaf)

        assert ties_of(SEED, root, leaf) == [hashlib.sha256(SEED + root + one).digest() for one in leaf]

    def test_a_hundred_thousand_orders_take_well_under_a_second(self) -> None:
        began = time.perf_counter()
        leaf = _leaves(100_000)
        ties = ties_of(SEED, root_of(leaf), leaf)

        assert time.perf_counter() - began < 2
        assert len(set(ties)) == 100_000
