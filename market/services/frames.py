"""The text of a feed frame: everything current of every product with open orders that everybody may see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from accounts.kernel import ids
from market.kernel.freezing import BID, OFFER
from market.kernel.levels import Level, levels
from market.kernel.text import price_text
from market.models import Round
from market.services.clearing import Cleared, Outcome

DEPTH = 10


def frame_text(outcome: Outcome, round_: Round, *, next_close_at: datetime, at: datetime) -> str:
    """JSON of one frame; prices in yuan per million ST as decimal strings, quantities in ST as integer strings."""
    return json.dumps(
        {
            "type": "round",
            "seq": round_.number,
            "prev_seq": round_.number - 1,
            "at": _instant(at),
            "closed_at": _instant(round_.closed_at or at),
            "next_close_at": _instant(next_close_at),
            "state": "live",
            "halted": False,
            "products": list(_products(outcome)),
        },
        separators=(",", ":"),
    )


def _products(outcome: Outcome) -> Iterator[dict[str, object]]:
    book = outcome.book
    left = np.where(outcome.ended, 0, book.available - outcome.fill)
    said = {one.code: one for one in outcome.cleared}
    # A bid that names several products stands in each, at its limit there, with all that is open of it.
    several = [row for row, wish in book.wishes.items() if len(wish.limits) > 1]
    more = [(row, code, limit) for row in several for code, limit in book.wishes[row].limits.items()]
    plain = np.setdiff1d(np.arange(len(book)), several)
    rows = np.concatenate([plain, np.array([row for row, *_ in more], dtype=np.int64)])
    codes = np.concatenate([book.product[plain], np.array([code for _, code, _ in more], dtype=np.int64)])
    limits = np.concatenate([book.limit[plain], np.array([limit for *_, limit in more], dtype=np.int64)])
    flexible = np.arange(len(rows)) >= len(plain)
    order = np.argsort(codes, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else ():
        code = int(codes[part[0]])
        product = book.products[code]
        if product.is_private:
            continue
        bids, offers = part[book.side[rows[part]] == BID], part[book.side[rows[part]] == OFFER]
        loose = bids[flexible[bids]]
        yield {
            "id": ids.encode("prd", product.id),
            "line": product.line,
            "grade": product.grade,
            "window_start": _instant(product.window_start),
            **_price(said.get(code)),
            "bids": _depth(levels(limits[bids], left[rows[bids]], best_high=True)),
            "offers": _depth(levels(limits[offers], left[rows[offers]], best_high=False)),
            "flexible_bids": _depth(levels(limits[loose], left[rows[loose]], best_high=True)),
        }


def _price(said: Cleared | None) -> dict[str, object]:
    price = said.price_micros if said else None
    indicative = said.indicative_micros if said else None
    return {
        "price": None if price is None else price_text(price),
        "price_micros": None if price is None else str(price),
        "volume_st": str(said.volume_st) if said else "0",
        "indicative": None if indicative is None else price_text(indicative),
    }


def _depth(steps: list[Level]) -> list[list[str]]:
    return [[price_text(price), str(quantity)] for price, quantity in steps[:DEPTH]]


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
