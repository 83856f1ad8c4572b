"""What fixes a round's order set, and the chance that is left to it.

The operator commits to SHA-256(seed) before the round opens. Each order that takes part is a salted leaf of a Merkle
tree; ties are SHA-256(seed ‖ root ‖ leaf). The root stands before the seed is shown, and the seed before any order
came, so neither can be chosen to suit a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_LEAF, _NODE = b"\0", b"\1"
_ROW = np.dtype([("order", "V16"), ("side", ">i8"), ("limit", ">i8"), ("quantity", ">i8"), ("cohort", ">i8")])
_EMPTY = hashlib.sha256(b"").digest()


def leaves(
    order: NDArray[np.void], side: Ints, limit: Ints, quantity: Ints, cohort: Ints, *, seed: bytes
) -> list[bytes]:
    """One hash an order, in the order of the rows; the salt comes from the seed, so that nobody can guess a leaf."""
    rows = np.zeros(len(side), dtype=_ROW)
    for name, column in (
        ("order", order),
        ("side", side),
        ("limit", limit),
        ("quantity", quantity),
        ("cohort", cohort),
    ):
        rows[name] = column
    salt = _LEAF + hashlib.sha256(b"salt" + seed).digest()
    raw, size = rows.tobytes(), _ROW.itemsize
    sha256 = hashlib.sha256
    return [sha256(salt + raw[at : at + size]).digest() for at in range(0, len(raw), size)]


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
