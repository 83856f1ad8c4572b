"""What fixes the order set of a round, and the chance that is left to it."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.kernel.seeds import header_leaf, order_leaf, plain_leaves, pseudonyms, root_of, ties_of

SEED = bytes(range(32))


KEY = bytes(reversed(range(32)))
HEADS = [header_leaf({"product": "one"}), header_leaf({"product": "two"})]
FIELDS = ("side", "quantity", "minimum", "cohort", "limit")


def _order(count: int) -> Any:
    return np.array([number.to_bytes(16) for number in range(count)], dtype="V16")


def _leaves(count: int, *, key: bytes = KEY, **changed: int) -> list[bytes]:
    columns = {name: np.arange(count, dtype=np.int64) for name in FIELDS}
    for name, value in changed.items():
        columns[name][0] = value
    product = np.arange(count, dtype=np.int64) % 2
    return plain_leaves(pseudonyms(_order(count), key=key), columns, product=product, heads=HEADS)


class TestPseudonyms:
    @pytest.mark.parametrize("size", [0, 16, 32, 64])
    def test_are_hmacs_of_the_orders(self, size: int) -> None:
        key = bytes(range(size))

        found = pseudonyms(_order(3), key=key)

        assert found == [hmac.digest(key, number.to_bytes(16), "sha256") for number in range(3)]


class TestLeaves:
    def test_hash_what_an_order_says_with_its_pseudonym(self) -> None:
        pseudonym = hmac.digest(KEY, (1).to_bytes(16), "sha256")
        numbers = b"".join(number.to_bytes(8, signed=True) for number in (1, 1, 1, 1, -1, -1))

        assert _leaves(2)[1] == hashlib.sha256(b"\0" + pseudonym + numbers + HEADS[1] + (1).to_bytes(8)).digest()

    @pytest.mark.parametrize("field", FIELDS)
    def test_change_with_every_field_and_with_the_key(self, field: str) -> None:
        assert _leaves(2, **{field: 9})[0] != _leaves(2)[0]
        assert _leaves(2, **{field: 9})[1] == _leaves(2)[1]
        assert not set(_leaves(2, key=bytes(32))) & set(_leaves(2))

    def test_of_any_order_are_the_same_and_do_not_depend_on_the_order_of_cells(self) -> None:
        pseudonym = pseudonyms(_order(2), key=KEY)[1]
        both = [(HEADS[0], 5), (HEADS[1], 7)]

        assert order_leaf(pseudonym, (1, 1, 1, 1, None, None), [(HEADS[1], 1)]) == _leaves(2)[1]
        assert order_leaf(pseudonym, (0, 1, 0, 1, 2, 3), both) == order_leaf(pseudonym, (0, 1, 0, 1, 2, 3), both[::-1])
        assert order_leaf(pseudonym, (0, 1, 0, 1, 2, 3), both) != order_leaf(pseudonym, (0, 1, 0, 1, 2, 4), both)


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
