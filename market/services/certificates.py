"""Certificates of rounds: written with the round by columns, read as what a stranger checks."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from accounts.kernel import ids
from market import selectors
from market.kernel.errors import NotFound
from market.kernel.freezing import BID, Ints
from market.kernel.seeds import pseudonyms
from market.matching_engine import certificate_reading as reading
from market.models import Certificate, Order, Round
from market.selectors import RoundView
from market.services import certificates_v1 as v1
from market.services.clearing import Outcome, Plain
from market.services.coupling import Coupled, EngineCell
from market.services.sealing import Sealed, round_keys

# Only so many of an organisation's orders are looked for in one round.
_MOST_OWN = 1_000


@dataclass(frozen=True)
class OwnPart:
    """A product that an order took part in: its limit there (micro-yuan per million ST), and what filled (ST)."""

    product_id: UUID
    limit_micros: int
    filled_st: int


@dataclass(frozen=True)
class OwnOrder:
    """An order of the reader, its pseudonym in a round's certificate, and what it says: ST that took part, and where."""

    order_id: UUID
    pseudonym: str
    side: str
    quantity_st: int
    parts: tuple[OwnPart, ...]


def write(outcome: Outcome, round_: Round) -> None:
    """Store what a stranger needs to check a round that traded, in the transaction of the round.

    Of products that were cleared alone after a failure, orders whose leaves bind single cells are there as leaves only.
    """
    if not outcome.printed:
        return
    sealed = outcome.sealed
    rest = np.ones(len(outcome.book), dtype=np.bool_)
    cells, components = set(sealed.headers), []
    for part in outcome.printed:
        if isinstance(part, Coupled) or sealed.is_plain[part.rows].all():
            rest[part.rows] = False
            cells -= {EngineCell(part.code, None)} if isinstance(part, Plain) else set(part.cells)
            components.append(_plain(outcome, part) if isinstance(part, Plain) else _coupled(sealed, part))
    other = [
        *(sealed.header_leaves[cell] for cell in cells),
        *(sealed.leaf[row] for row in np.flatnonzero(rest).tolist()),
    ]
    document = {
        "version": reading.VERSION,
        "market": sealed.name.market,
        "other": b"".join(sorted(other)).hex(),
        "components": components,
    }
    Certificate.objects.create(round=round_, body=zlib.compress(msgspec.json.encode(document), 1))


def _pseudonyms(sealed: Sealed, rows: Ints) -> str:
    return b"".join(sealed.pseudonym[row] for row in rows.tolist()).hex()


def _plain(outcome: Outcome, part: Plain) -> dict[str, Any]:
    book, rows, result = outcome.book, part.rows, part.result
    product, header = book.products[part.code], outcome.sealed.headers[EngineCell(part.code, None)]
    return {
        "welfare": result.welfare, "cells": [[header, result.low, result.high, result.price, result.volume]],
        "pseudonym": _pseudonyms(outcome.sealed, rows), "side": book.side[rows].tolist(),
        "cohort": book.cohort[rows].tolist(), "quantity": (book.available[rows] // product.lot_st).tolist(),
        "limit": book.limit[rows].tolist(), "fill": result.fill.tolist(),
    }  # fmt: skip


def _coupled(sealed: Sealed, part: Coupled) -> dict[str, Any]:
    orders, found = part.component.orders, part.outcome
    cells = zip(
        (sealed.headers[cell] for cell in part.cells), found.low, found.high, found.price, found.volume, strict=True
    )
    return {
        "welfare": found.welfare, "cells": list(cells), "pseudonym": _pseudonyms(sealed, part.rows),
        **{name: [getattr(one, name) for one in orders]
           for name in ("side", "cohort", "quantity", "minimum", "group", "deployment")},
        "limits": [list(zip(one.cells, one.limits, strict=True)) for one in orders],
        "fills": [list(lots.items()) for lots in found.fills],
    }  # fmt: skip


def read(number: int, *, market_id: UUID, organisation_id: UUID | None) -> dict[str, Any]:
    """The certificate of a round as the API gives it: integers beyond 53 bits as strings, no identity.

    Components of lines that the reader may not see are there as leaves only.

    :raises NotFound: the round is not cleared, or traded nothing.
    """
    round_, document = _stored(number, market_id)
    is_first = document.get("version", 1) == 1
    named = [_products(part, is_first=is_first) for part in document["components"]]
    products = selectors.products_many({one for part in named for one in part})
    visible = {one.slug for one in selectors.lines(organisation_id)}
    seen = [all(not products[one].is_private or products[one].line in visible for one in part) for part in named]
    said = {"round": round_.number, "commitment": round_.commitment, "seed": round_.seed, "root": round_.root}
    other = v1.leaves(document["other"])
    if is_first:
        seed, root = bytes.fromhex(round_.seed), bytes.fromhex(round_.root)
        parts = [v1.expanded(part, products, seed=seed, root=root) for part in document["components"]]
        hashes = [v1.leaves(part["leaf"]) for part in document["components"]]
        said |= {"closed_at": round_.closed_at}
    else:
        parts = [_expanded(part) for part in document["components"]]
        hashes = [[leaf.hex() for leaf in reading.leaves_of(part)] for part in parts]
        said |= {"version": document["version"], "market": document["market"]}
    other += [leaf for part, shown in zip(hashes, seen, strict=True) if not shown for leaf in part]
    return {
        **said,
        "other_leaves": other,
        "components": [part for part, shown in zip(parts, seen, strict=True) if shown],
    }


def own(number: int, *, market_id: UUID, organisation_id: UUID) -> list[OwnOrder]:
    """Which orders of a certificate are the reader's own; nobody else can tell.

    :raises NotFound: the round is not cleared, or traded nothing.
    """
    round_, document = _stored(number, market_id)
    if document.get("version", 1) == 1:
        return []
    printed = {
        one: (part, at) for part in document["components"] for at, one in enumerate(v1.leaves(part["pseudonym"]))
    }
    rows = Order.objects.filter(organisation_id=organisation_id, market_id=market_id, created_at__lte=round_.closed_at)
    open_then = rows.filter(expires_at__gte=round_.closed_at).order_by("-id").values_list("id", flat=True)[:_MOST_OWN]
    found = list(open_then)
    column = np.frombuffer(b"".join(one.bytes for one in found), dtype="V16")
    return [
        _own(order_id, pseudonym.hex(), *printed[pseudonym.hex()])
        for key in round_keys(round_.id)
        for order_id, pseudonym in zip(found, pseudonyms(column, key=key), strict=True)
        if pseudonym.hex() in printed
    ]


def _own(order_id: UUID, pseudonym: str, part: dict[str, Any], at: int) -> OwnOrder:
    """One order of a stored component. The cells of a product have one limit, and their fills are added up."""
    headers = [cell[0] for cell in part["cells"]]
    lots = dict(_fills(part, at))
    limit: dict[UUID, int] = {}
    filled: Counter[UUID] = Counter()
    for cell, micros in _limits(part, at):
        product_id = ids.decode("prd", headers[cell]["product"])
        limit[product_id] = micros
        filled[product_id] += lots.get(cell, 0) * int(headers[cell]["lot_st"])
    return OwnOrder(
        order_id,
        pseudonym,
        "buy" if part["side"][at] == BID else "sell",
        part["quantity"][at] * int(headers[0]["lot_st"]),
        tuple(OwnPart(one, micros, filled[one]) for one, micros in limit.items()),
    )


def _limits(part: dict[str, Any], at: int) -> list[tuple[int, int]]:
    if "limits" not in part:
        return [(0, part["limit"][at])]
    return [(cell, limit) for cell, limit in part["limits"][at]]


def _fills(part: dict[str, Any], at: int) -> list[tuple[int, int]]:
    if "fills" not in part:
        return [(0, part["fill"][at])] if part["fill"][at] else []
    return [(cell, lots) for cell, lots in part["fills"][at]]


def _stored(number: int, market_id: UUID) -> tuple[RoundView, dict[str, Any]]:
    round_ = selectors.round(number, market_id=market_id)
    row = Certificate.objects.filter(round_id=round_.id).first()
    if row is None:
        raise NotFound("This round traded nothing, so it prints no certificate.")
    return round_, msgspec.json.decode(zlib.decompress(bytes(row.body)))


def _products(part: dict[str, Any], *, is_first: bool) -> Sequence[UUID]:
    return v1.product_of(part) if is_first else [ids.decode("prd", cell[0]["product"]) for cell in part["cells"]]


def _expanded(part: dict[str, Any]) -> dict[str, Any]:
    pseudonym = v1.leaves(part["pseudonym"])
    count = len(pseudonym)
    minimum = part.get("minimum") or [0] * count
    group, deployment = (part.get(name) or [None] * count for name in ("group", "deployment"))
    orders = [
        {
            "pseudonym": pseudonym[at],
            "side": part["side"][at],
            "quantity": str(part["quantity"][at]),
            "minimum": str(minimum[at]),
            "cohort": part["cohort"][at],
            "group": group[at],
            "deployment": deployment[at],
            "limits": {str(cell): str(limit) for cell, limit in _limits(part, at)},
            "fills": {str(cell): str(lots) for cell, lots in _fills(part, at)},
        }
        for at in range(count)
    ]
    names = ("least", "greatest", "price", "volume")
    cells = [
        {"header": header, **{name: str(number) for name, number in zip(names, numbers, strict=True)}}
        for header, *numbers in part["cells"]
    ]
    return {"welfare": str(part["welfare"]), "cells": cells, "orders": orders}
