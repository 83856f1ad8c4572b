"""What fixes a round's order set, and the chance that is left to it.

The operator commits to SHA-256(seed) before the round opens. Each order of the book, each header of a price and the
round's own header is a leaf of a Merkle tree; ties are SHA-256(seed ‖ root ‖ leaf). The root stands before the seed is
shown, and the seed before any order came. An order's leaf is salted by its pseudonym, HMAC-SHA256(round key, order id).
What is hashed is told in `market/matching_engine/certificate_reading.py`, which hashes it again from what is printed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_LEAF, _NODE, _HEADER = b"\0", b"\1", b"\2"
_NUMBERS = ("side", "quantity", "minimum", "cohort", "group", "deployment")
_ROW = np.dtype([*((name, ">i8") for name in _NUMBERS), ("head", "V32"), ("limit", ">i8")])
_EMPTY = hashlib.sha256(b"").digest()
_BLOCK = 64


def pseudonyms(order: NDArray[np.void], *, key: bytes) -> list[bytes]:
    """HMAC-SHA256(key, order id) of every row; `key` is at most 64 bytes. Without the key nobody links one to an order."""
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in key.ljust(_BLOCK, b"\0"))) for pad in (0x36, 0x5C))
    raw, size, found = order.tobytes(), order.dtype.itemsize, []
    for at in range(0, len(raw), size):
        first, second = inner.copy(), outer.copy()
        first.update(raw[at : at + size])
        second.update(first.digest())
        found.append(second.digest())
    return found


def header_leaf(header: Mapping[str, object]) -> bytes:
    """The leaf of a header: of its JSON with sorted keys and no spaces."""
    return hashlib.sha256(_HEADER + json.dumps(header, sort_keys=True, separators=(",", ":")).encode()).digest()


def plain_leaves(
    pseudonym: Sequence[bytes], columns: Mapping[str, Ints], *, product: Ints, heads: Sequence[bytes]
) -> list[bytes]:
    """Leaves of orders that name one cell and no group.

    `columns` are side, quantity, minimum, cohort and limit; `heads` the header leaves by product.
    """
    rows = np.zeros(len(pseudonym), dtype=_ROW)
    rows["group"] = rows["deployment"] = -1
    for name, column in columns.items():
        rows[name] = column
    if len(rows):
        rows["head"] = np.frombuffer(b"".join(heads), dtype="V32")[product]
    raw, size, sha256 = rows.tobytes(), _ROW.itemsize, hashlib.sha256
    return [sha256(_LEAF + one + raw[at * size : at * size + size]).digest() for at, one in enumerate(pseudonym)]


def order_leaf(pseudonym: bytes, numbers: Iterable[int | None], named: Iterable[tuple[bytes, int]]) -> bytes:
    """The leaf of any order: side, quantity, minimum, cohort, group and deployment, then (header leaf, limit) a cell."""
    parts = [pseudonym, *((-1 if one is None else one).to_bytes(8, "big", signed=True) for one in numbers)]
    parts += [head + limit.to_bytes(8, "big", signed=True) for head, limit in sorted(named)]
    return hashlib.sha256(_LEAF + b"".join(parts)).digest()


def root_of(leaf: Sequence[bytes]) -> bytes:
    """Merkle root of the leaves in sorted order, so that it does not depend on the order of the rows.

    An odd last node moves up unchanged; the root of nothing is SHA-256 of nothing.
    """
    level = sorted(leaf)
    if not level:
        return _EMPTY
    sha256 = hashlib.sha256
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [sha256(_NODE + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)] + odd
    return level[0]


def ties_of(seed: bytes, root: bytes, leaf: Sequence[bytes]) -> list[bytes]:
    """The tie key of every leaf; the smallest comes first."""
    start = hashlib.sha256(seed + root)
    keys = []
    for one in leaf:
        key = start.copy()
        key.update(one)
        keys.append(key.digest())
    return keys
