"""Certificates of rounds: written with the round by columns, read as what a stranger checks."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from accounts.kernel import ids
from market import selectors
from market.kernel.errors import NotFound
from market.matching_engine.coupled import clipped
from market.models import Certificate, Round
from market.models.orders import MAX_PRICE_MICROS
from market.selectors import ProductView
from market.services.clearing import Outcome, Plain
from market.services.coupling import Coupled

_LEAF_DIGITS = 64


def write(outcome: Outcome, round_: Round) -> None:
    """Store what a stranger needs to check a round that traded, in the transaction of the round."""
    if not outcome.printed:
        return
    printed = np.zeros(len(outcome.book), dtype=np.bool_)
    components = []
    for part in outcome.printed:
        printed[part.rows] = True
        components.append(_plain(outcome, part) if isinstance(part, Plain) else _coupled(outcome, part))
    document = {"other": _hex(outcome, np.flatnonzero(~printed)), "components": components}
    Certificate.objects.create(round=round_, body=zlib.compress(msgspec.json.encode(document), 1))


def _hex(outcome: Outcome, rows: np.ndarray) -> str:
    return b"".join(outcome.leaf[row] for row in rows.tolist()).hex()


def _plain(outcome: Outcome, part: Plain) -> dict[str, Any]:
    book, rows, result = outcome.book, part.rows, part.result
    product = book.products[part.code]
    collar = next(one.quote.collar for one in outcome.cleared if one.code == part.code)
    far = MAX_PRICE_MICROS // product.tick_micros * product.tick_micros
    cell = {
        "product": str(product.id), "cell": None, "low": collar.low if collar else product.tick_micros,
        "high": collar.high if collar else far, "least": result.low, "greatest": result.high, "price": result.price,
        "volume": result.volume,
    }  # fmt: skip
    return {
        "tick": product.tick_micros, "lot_st": product.lot_st, "path": "none", "welfare": result.welfare, "cells": [cell],
        "leaf": _hex(outcome, rows), "side": book.side[rows].tolist(), "cohort": book.cohort[rows].tolist(),
        "quantity": (book.available[rows] // product.lot_st).tolist(), "limit": part.limits.tolist(),
        "fill": result.fill.tolist(),
    }  # fmt: skip


def _coupled(outcome: Outcome, part: Coupled) -> dict[str, Any]:
    component, found = part.component, part.outcome
    product = outcome.book.products[part.cells[0].code]
    orders = clipped(component)
    cells = [
        {
            "product": str(outcome.book.products[cell.code].id), "cell": str(UUID(bytes=cell.cell)) if cell.cell else None,
            "low": component.collar_low[number], "high": component.collar_high[number], "least": found.low[number],
            "greatest": found.high[number], "price": found.price[number], "volume": found.volume[number],
        }
        for number, cell in enumerate(part.cells)
    ]  # fmt: skip
    return {
        "tick": component.tick, "lot_st": product.lot_st, "path": found.path, "welfare": found.welfare, "cells": cells,
        "leaf": _hex(outcome, part.rows), "side": [one.side for one in orders], "cohort": [one.cohort for one in orders],
        "quantity": [one.quantity for one in orders], "minimum": [one.minimum for one in orders],
        "limits": [list(zip(one.cells, one.limits, strict=True)) for one in orders],
        "group": [one.group for one in orders], "deployment": [one.deployment for one in orders],
        "fills": [list(lots.items()) for lots in found.fills], "rejected": list(found.rejected),
    }  # fmt: skip


def read(number: int, *, market_id: UUID, organisation_id: UUID | None) -> dict[str, Any]:
    """The certificate of a round as the API gives it: integers beyond 53 bits as strings, no identity.

    Components of lines that the reader may not see are there as leaves only.

    :raises NotFound: the round is not cleared, or traded nothing.
    """
    round_ = selectors.round(number, market_id=market_id)
    row = Certificate.objects.filter(round_id=round_.id).first()
    if row is None:
        raise NotFound("This round traded nothing, so it prints no certificate.")
    document = msgspec.json.decode(zlib.decompress(bytes(row.body)))
    visible = {one.slug for one in selectors.lines(organisation_id)}
    products = selectors.products_many(
        {UUID(cell["product"]) for one in document["components"] for cell in one["cells"]}
    )
    shown, hidden = [], [document["other"]]
    for one in document["components"]:
        named = [products[UUID(cell["product"])] for cell in one["cells"]]
        may_see = all(not product.is_private or product.line in visible for product in named)
        if may_see:
            shown.append(_expanded(one, products, seed=bytes.fromhex(round_.seed), root=bytes.fromhex(round_.root)))
        else:
            hidden.append(one["leaf"])
    return {
        "round": round_.number,
        "closed_at": round_.closed_at,
        "commitment": round_.commitment,
        "seed": round_.seed,
        "root": round_.root,
        "other_leaves": [leaf for text in hidden for leaf in _leaves(text)],
        "components": shown,
    }


def _leaves(text: str) -> list[str]:
    return [text[at : at + _LEAF_DIGITS] for at in range(0, len(text), _LEAF_DIGITS)]


def _expanded(part: dict[str, Any], products: dict[UUID, ProductView], *, seed: bytes, root: bytes) -> dict[str, Any]:
    leaf = _leaves(part["leaf"])
    count = len(leaf)
    limits = part.get("limits") or [[(0, limit)] for limit in part["limit"]]
    fills = part.get("fills") or [[(0, lots)] if lots else [] for lots in part["fill"]]
    minimum, rejected = part.get("minimum") or [0] * count, set(part.get("rejected", ()))
    group, deployment = (part.get(name) or [None] * count for name in ("group", "deployment"))
    orders = [
        {
            "leaf": leaf[at],
            "tie": hashlib.sha256(seed + root + bytes.fromhex(leaf[at])).hexdigest(),
            "side": part["side"][at],
            "quantity": str(part["quantity"][at]),
            "minimum": str(minimum[at]),
            "group": group[at],
            "deployment": deployment[at],
            "cohort": part["cohort"][at],
            "limits": {str(cell): str(limit) for cell, limit in limits[at]},
            "fills": {str(cell): str(lots) for cell, lots in fills[at]},
            "rejected": at in rejected,
        }
        for at in range(count)
    ]
    return {
        "tick": part["tick"],
        "lot_st": part["lot_st"],
        "path": part["path"],
        "welfare": str(part["welfare"]),
        "cells": [_cell(one, products) for one in part["cells"]],
        "orders": orders,
    }


def _cell(part: dict[str, Any], products: dict[UUID, ProductView]) -> dict[str, Any]:
    product = products[UUID(part["product"])]
    return {
        "product": ids.encode("prd", product.id), "line": product.line, "grade": product.grade,
        "window_start": product.window_start, "cell": ids.encode("cel", UUID(part["cell"])) if part["cell"] else None,
        **{name: str(part[name]) for name in ("low", "high", "least", "greatest", "price", "volume")},
    }  # fmt: skip
