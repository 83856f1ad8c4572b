"""Reads a round's certificate, as the API gives it, into what `certificate.py` checks. Plain Python, nothing of the engine.

Everything printed of the order set is hashed here as it was before the round was cleared, all integers as 8 bytes, big
end first: a header is SHA-256(0x02 ‖ its JSON with sorted keys and no spaces), an order is SHA-256(0x00 ‖ pseudonym ‖
side ‖ quantity ‖ minimum ‖ cohort ‖ group ‖ deployment ‖ for each of its cells: header's hash ‖ limit), with −1 for no
group, and its cells sorted by hash. Sides are 0 (bid) and 1 (offer); quantities are lots.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

VERSION = 2


class Malformed(ValueError):
    """The document is no certificate of this version, or a field of it is missing or of another kind."""


@dataclass
class Cell:
    """One price; `low` and `high` are the ends of its collar, all in micro-yuan per million."""

    tick: int
    low: int
    high: int
    least: int
    greatest: int
    price: int
    volume: int


@dataclass
class Order:
    """An order as the auction saw it: `limits` lie inside the collar. `kind` is what the margin rule tells apart.

    `least` is what it has before anything is shared. `best` and `tight` are for the checks: its gain a lot at some
    prices, and the cells where it gains that.
    """

    side: int
    quantity: int
    minimum: int
    cohort: int
    group: int | None
    deployment: int | None
    limits: dict[int, int]
    fills: dict[int, int]
    tie: bytes
    kind: bytes
    rejected: bool = False
    best: int = 0
    tight: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.lots = sum(self.fills.values())
        self.sign = 1 - 2 * self.side
        self.least = self.minimum if self.lots else 0


@dataclass
class Component:
    """Cells that cleared together, and the orders that named them."""

    cells: list[Cell]
    orders: list[Order]
    welfare: int


@dataclass
class Round:
    """A certificate; `computed` is the root of all that it prints, and `once` whether no part of that comes twice."""

    seed: bytes
    commitment: bytes
    root: bytes
    computed: bytes
    once: bool
    components: list[Component]


def read(document: dict[str, Any]) -> Round:
    """Read a certificate; numbers may be decimal texts.

    :raises Malformed: see there.
    """
    if document.get("version") != VERSION:
        raise Malformed(f"This is no certificate of version {VERSION}. Earlier ones are checked by their own checker.")
    try:
        return _round(document)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise Malformed(f"A field is missing or not what it should be: {error!r}") from error


def _round(document: dict[str, Any]) -> Round:
    seed, root = bytes.fromhex(document["seed"]), bytes.fromhex(document["root"])
    leaves = [bytes.fromhex(leaf) for leaf in document["other_leaves"]]
    leaves.append(header_hash({name: document[name] for name in ("market", "round", "version")}))
    components = []
    for part in document["components"]:
        hashes, cells = leaves_of(part), [_cell(cell) for cell in part["cells"]]
        own = hashes[len(cells) :]
        orders = [_order(one, cells, seed, root, leaf) for one, leaf in zip(part["orders"], own, strict=True)]
        reject(orders)
        components.append(Component(cells, orders, whole(part["welfare"])))
        leaves += hashes
    once = len(set(leaves)) == len(leaves)
    return Round(seed, bytes.fromhex(document["commitment"]), root, root_of(leaves), once, components)


def whole(value: Any) -> int:
    """A printed whole number: an integer, or its one decimal text.

    :raises Malformed: a fraction, a truth value, or a text that another reader may take for another number.
    """
    if isinstance(value, str) and value == value.strip() and value.lstrip("-").isdecimal() and str(int(value)) == value:
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed(f"{str(value)[:40]} is no whole number.")
    return value


def leaves_of(part: dict[str, Any]) -> list[bytes]:
    """The leaves of a printed component: those of its headers, then those of its orders."""
    heads = [header_hash(cell["header"]) for cell in part["cells"]]
    return heads + [_order_hash(order, heads) for order in part["orders"]]


def header_hash(header: dict[str, Any]) -> bytes:
    """The leaf of a header."""
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(b"\2" + text.encode()).digest()


def _order_hash(order: dict[str, Any], heads: list[bytes]) -> bytes:
    numbers = [order[name] for name in ("side", "quantity", "minimum", "cohort", "group", "deployment")]
    named = sorted((heads[whole(cell)], limit) for cell, limit in order["limits"].items())
    parts = [bytes.fromhex(order["pseudonym"]), *(_bytes(-1 if one is None else one) for one in numbers)]
    return hashlib.sha256(b"\0" + b"".join(parts) + b"".join(head + _bytes(limit) for head, limit in named)).digest()


def _bytes(number: Any) -> bytes:
    return whole(number).to_bytes(8, "big", signed=True)


def root_of(leaves: list[bytes]) -> bytes:
    """The Merkle root of the sorted leaves; an odd last node moves up as it is."""
    level = sorted(leaves) or [hashlib.sha256(b"").digest()]
    while len(level) > 1:
        pairs = zip_longest(level[::2], level[1::2])
        level = [a if b is None else hashlib.sha256(b"\1" + a + b).digest() for a, b in pairs]
    return level[0]


def _cell(cell: dict[str, Any]) -> Cell:
    header = cell["header"]
    bound = (whole(header[name]) for name in ("tick", "low", "high"))
    return Cell(*bound, *(whole(cell[name]) for name in ("least", "greatest", "price", "volume")))


def _order(order: dict[str, Any], cells: list[Cell], seed: bytes, root: bytes, leaf: bytes) -> Order:
    side, quantity, minimum, cohort = (whole(order[name]) for name in ("side", "quantity", "minimum", "cohort"))
    group, deployment = (None if order[name] is None else whole(order[name]) for name in ("group", "deployment"))
    asked = sorted((whole(cell), whole(limit)) for cell, limit in order["limits"].items())
    limits = {x: max(limit, cells[x].low) if side else min(limit, cells[x].high) for x, limit in asked}
    fills = {whole(cell): whole(lots) for cell, lots in order["fills"].items()}
    if side not in {0, 1} or not limits or quantity < 1 or minimum < 0:
        raise Malformed("An order has a side, a quantity and at least one cell.")
    if any(not 0 <= x < len(cells) for x in (*limits, *fills)):
        raise Malformed("An order names a cell that is not there.")
    if group is not None and (not side or minimum or deployment is None):
        raise Malformed("Only offers without a minimum are in exclusive groups.")
    kind = f"{side};{','.join(map(str, limits))};{','.join(map(str, limits.values()))};{cohort}"
    return Order(
        side, quantity, minimum, cohort, group, deployment, limits, fills,
        tie=hashlib.sha256(seed + root + leaf).digest(), kind=hashlib.sha256(seed + kind.encode()).digest(),
    )  # fmt: skip


def reject(orders: list[Order]) -> None:
    """Rejected are blocks without a fill: minimums, and of a group all but the deployment that fills or, else, stands."""
    groups: dict[int, dict[Any, list[Order]]] = {}
    for one in orders:
        one.rejected = one.minimum > 0 and not one.lots
        if one.group is not None:
            groups.setdefault(one.group, {}).setdefault(one.deployment, []).append(one)
    for deployments in groups.values():
        stands = min(deployments.values(), key=lambda some: (not any(one.lots for one in some), _hash(some)))
        for some in deployments.values():
            for one in some:
                one.rejected = some is not stands


def _hash(offers: list[Order]) -> bytes:
    return hashlib.sha256(b"".join(sorted(one.tie for one in offers))).digest()
