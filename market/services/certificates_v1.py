"""Certificates of version 1, from before leaves bound all that is printed: read as they were, checked by their checker."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from accounts.kernel import ids
from market.selectors import ProductView

_LEAF_DIGITS = 64


def product_of(part: dict[str, Any]) -> list[UUID]:
    """The products of a component."""
    return [UUID(cell["product"]) for cell in part["cells"]]


def leaves(text: str) -> list[str]:
    """Hashes written side by side."""
    return [text[at : at + _LEAF_DIGITS] for at in range(0, len(text), _LEAF_DIGITS)]


def expanded(part: dict[str, Any], products: dict[UUID, ProductView], *, seed: bytes, root: bytes) -> dict[str, Any]:
    """A component as the API gave it."""
    leaf = leaves(part["leaf"])
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
