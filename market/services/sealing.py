"""What a round fixes before it is cleared: the header of each price, and a leaf of each order that binds what it prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

import numpy as np
from django.conf import settings
from django.utils.crypto import salted_hmac

from accounts.kernel import ids
from market.kernel import seeds
from market.kernel.freezing import Mask
from market.matching_engine.certificate_reading import VERSION
from market.models.orders import MAX_PRICE_MICROS
from market.selectors import FrozenBook, Quote
from market.services.coupling import EngineCell, Part


@dataclass(frozen=True)
class Name:
    """Which round it is; `key` makes pseudonyms and is told to nobody."""

    market: str
    number: int
    key: bytes

    @property
    def header(self) -> dict[str, Any]:
        """As the certificate prints it."""
        return {"market": self.market, "round": self.number, "version": VERSION}


def round_keys(round_id: UUID) -> list[bytes]:
    """The key of a round, fixed with its id; after it those that it had under earlier secrets of the site."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [salted_hmac("market.round", round_id.hex, secret=one, algorithm="sha256").digest() for one in secrets]


@dataclass(frozen=True)
class Sealed:
    """Columns follow the book's rows. `is_plain` tells rows whose leaf names one price of the whole product."""

    name: Name
    headers: Mapping[EngineCell, dict[str, Any]]
    header_leaves: Mapping[EngineCell, bytes]
    pseudonym: Sequence[bytes]
    leaf: Sequence[bytes]
    is_plain: Mask
    root: bytes


def seal(book: FrozenBook, quotes: Mapping[UUID, Quote], parts: Iterable[Part], *, name: Name) -> Sealed:
    """Fix the book: `parts` are the components whose cells and limits their orders' leaves bind."""
    parts = list(parts)
    whole = [EngineCell(code, None) for code in range(len(book.products))]
    cells = dict.fromkeys([*whole, *(cell for part in parts for cell in part.cells)])
    headers = {cell: _header(book, cell, quotes) for cell in cells}
    heads = {cell: seeds.header_leaf(header) for cell, header in headers.items()}
    lot = np.array([product.lot_st for product in book.products] or [1], dtype=np.int64)[book.product]
    minimum = np.zeros(len(book), dtype=np.int64)
    for row, wish in book.wishes.items():
        minimum[row] = -(-wish.minimum_st // lot[row])
    pseudonym = seeds.pseudonyms(book.order, key=name.key)
    columns = {
        "side": book.side, "quantity": book.available // lot, "minimum": minimum, "cohort": book.cohort,
        "limit": book.limit,
    }  # fmt: skip
    leaf = seeds.plain_leaves(pseudonym, columns, product=book.product, heads=[heads[cell] for cell in whole])
    is_plain = np.ones(len(book), dtype=np.bool_)
    for part in parts:
        for row, one in zip(part.rows.tolist(), part.component.orders, strict=True):
            numbers = (one.side, one.quantity, one.minimum, one.cohort, one.group, one.deployment)
            named = zip((heads[part.cells[cell]] for cell in one.cells), one.limits, strict=True)
            found = seeds.order_leaf(pseudonym[row], numbers, named)
            is_plain[row] = found == leaf[row]
            leaf[row] = found
    root = seeds.root_of([seeds.header_leaf(name.header), *heads.values(), *leaf])
    return Sealed(name, headers, heads, pseudonym, leaf, is_plain, root)


def _header(book: FrozenBook, cell: EngineCell, quotes: Mapping[UUID, Quote]) -> dict[str, Any]:
    product = book.products[cell.code]
    collar, tick = quotes[product.id].collar, product.tick_micros
    low, high = (collar.low, collar.high) if collar else (tick, MAX_PRICE_MICROS // tick * tick)
    return {
        "product": ids.encode("prd", product.id), "line": product.line, "grade": product.grade,
        "window_start": product.window_start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cell": ids.encode("cel", UUID(bytes=cell.cell)) if cell.cell else None, "private": product.is_private,
        "tick": str(tick), "lot_st": str(product.lot_st), "low": str(low), "high": str(high),
    }  # fmt: skip
