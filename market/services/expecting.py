"""What a bid would get if the round closed now: the open book with the bid in it, cleared as a round clears it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np

from market import selectors
from market.kernel.coupling import Wish
from market.kernel.freezing import BID, OFFER
from market.kernel.orders import ANY_SCOPE, Choice, OrderDraft
from market.matching_engine import Book, clear
from market.selectors import FrozenBook, ProductView, Quote
from market.services import flexible
from market.services.clearing import clear_book, freeze_book
from market.services.sealing import Name

# Above these a look takes longer than somebody waits who types. A round takes more, and then all of it.
MOST_ORDERS = 2_000
MOST_PRODUCTS = 150
MOST_CHOICES = 4  # blocks, and groups of deployments on the same chips: each doubles what is searched
_SEED = bytes(32)  # luck is not promised: the bid is the youngest, and ranks last wherever it may


@dataclass(frozen=True)
class ExpectedFill:
    """ST of one product, and what they cost in millionths of a micro-yuan."""

    product: ProductView
    quantity_st: int
    cost_exact: int

    @property
    def price_micros(self) -> int:
        """Average price per million ST, rounded down."""
        return self.cost_exact // self.quantity_st


@dataclass(frozen=True)
class Expected:
    """What would fill, dearest product first; `price_micros` is what the product traded at where it fills nothing.

    `unknown` says why that cannot be told: `too_many_orders` clear together, or they were `not_cleared`.
    """

    fills: tuple[ExpectedFill, ...] = ()
    price_micros: int | None = None
    unknown: str | None = None

    @property
    def quantity_st(self) -> int | None:
        """ST in all; None where it cannot be told."""
        return None if self.unknown else sum(one.quantity_st for one in self.fills)

    @property
    def average_micros(self) -> int | None:
        """Average price per million ST of what fills, rounded down."""
        quantity = self.quantity_st
        return sum(one.cost_exact for one in self.fills) // quantity if quantity else self.price_micros


def of_bid(draft: OrderDraft, *, now: datetime) -> Expected:
    """Clear what clears together with this bid's products, the bid among it; nothing is written."""
    limits = _limits(draft)
    if not limits:
        return Expected()
    market_id = selectors.the_market().id
    component = selectors.joined(limits, now=now, most=MOST_PRODUCTS)
    plain = not draft.is_flexible and len(component.product_ids) == 1
    if not plain and (component.orders > MOST_ORDERS or len(component.product_ids) > MOST_PRODUCTS):
        return Expected(unknown="too_many_orders")
    book = selectors.frozen_book(market_id, now=now, product_ids=component.product_ids)
    if component.orders > MOST_ORDERS:
        if book.wishes or not _all_strict(book):
            return Expected(unknown="too_many_orders")
        return _alone(book, draft, now=now)
    return _together(book, draft, limits, now=now)


def of_offer(draft: OrderDraft, product: ProductView, *, now: datetime) -> Expected:
    """The same of an offer, in its product alone."""
    book = selectors.frozen_book(product.market_id, now=now, product_ids=[product.id])
    return _alone(book, draft, now=now, product=product)


def _limits(draft: OrderDraft) -> dict[UUID, int]:
    """By product that exists the draft's limit there.

    :raises UnknownLine, UnknownGrade, BadScope: a choice that an order could not have.
    """
    market_id, found = selectors.the_market().id, {}
    terms = selectors.terms_of(market_id, draft.grade)
    for one in draft.choices or (Choice(draft.line, draft.window_start, draft.limit_micros),):
        grade = one.grade or draft.grade
        selectors.line_for(one.line, draft.organisation_id)
        flexible.check_terms(selectors.terms_of(market_id, grade), terms, grade=grade, own=draft.grade)
        product = selectors.product_at(one.line, grade, one.window_start)
        if product is not None:
            found[product.id] = one.limit_micros
    return found


def _together(book: FrozenBook, draft: OrderDraft, limits: Mapping[UUID, int], *, now: datetime) -> Expected:
    wanted = {code: limits[one.id] for code, one in enumerate(book.products) if one.id in limits}
    if not wanted:
        return Expected()
    with_bid, row = _with_bid(book, draft, wanted)
    frozen = freeze_book(
        with_bid,
        selectors.quotes(with_bid.products, now=now),
        seed=_SEED,
        standing=selectors.standing(with_bid),
        pinned=selectors.pinned(now=now),
        name=Name("preview", 0, _SEED),
    )
    blocks = sum(wish.minimum_st > 0 for wish in with_bid.wishes.values())
    if blocks + len(frozen.groups.products) > MOST_CHOICES:
        return Expected(unknown="too_many_orders")
    outcome = clear_book(frozen)
    if outcome.faults:
        return Expected(unknown="not_cleared")
    got: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    pairs = outcome.pairs
    for sell, quantity in zip(
        pairs.sell[pairs.buy == row].tolist(), pairs.quantity[pairs.buy == row].tolist(), strict=True
    ):
        both = got[int(with_bid.product[sell])]
        both[0] += quantity
        both[1] += quantity * int(outcome.price[sell])
    fills = [ExpectedFill(with_bid.products[code], *both) for code, both in got.items()]
    said = {one.code: one.price_micros for one in outcome.cleared}
    return Expected(
        tuple(sorted(fills, key=lambda one: (-one.price_micros, one.product.window_start, one.product.line))),
        said.get(next(iter(wanted))) if len(wanted) == 1 else None,
    )


def _with_bid(book: FrozenBook, draft: OrderDraft, limits: Mapping[int, int]) -> tuple[FrozenBook, int]:
    """The book with the draft behind its last bid, as the youngest order; and its row."""
    row = int((book.side == BID).sum())
    values: dict[str, Any] = {
        "owner": np.frombuffer(draft.organisation_id.bytes, dtype=book.owner.dtype)[0],
        "product": next(iter(limits)),
        "side": BID,
        "limit": draft.limit_micros,
        "left": draft.quantity_st,
        "available": draft.quantity_st,
        "cohort": book.cohort.max(initial=0) + 1,
        "sequence": book.sequence.max(initial=0) + 1,
    }
    columns: dict[str, Any] = {
        one.name: np.insert(column, row, values.get(one.name, np.zeros(1, column.dtype)[0]))
        for one in fields(book)
        if isinstance(column := getattr(book, one.name), np.ndarray)
    }
    wish = _wish(book, draft, limits)
    wishes = book.wishes if wish is None else {**book.wishes, row: wish}
    return replace(book, **columns, wishes=wishes), row


def _wish(book: FrozenBook, draft: OrderDraft, limits: Mapping[int, int]) -> Wish | None:
    """What the draft accepts; None of a bid for any quantity of a product of which it takes every cell."""
    scope = draft.scope
    lax = set(book.product[(book.side == OFFER) & ~book.strict].tolist())
    apart = bool(scope.vendors or scope.regions or scope.tiers) or not limits.keys().isdisjoint(lax)
    if not draft.choices and scope == ANY_SCOPE and not apart:
        return None
    cells = selectors.cells_within(scope, [book.products[code].id for code in limits]) if apart else None
    return Wish(dict(limits), cells, scope.minimum_st)


def _all_strict(book: FrozenBook) -> bool:
    return bool(book.strict[book.side == OFFER].all())


def _alone(book: FrozenBook, draft: OrderDraft, *, now: datetime, product: ProductView | None = None) -> Expected:
    """Clear one product with this order in it. Its tie key is the last one."""
    product = product or book.products[0]
    quote: Quote = selectors.quote(product, now=now)
    rows = np.flatnonzero((book.available > 0) & ((book.side == BID) | book.strict))
    side = BID if draft.side == "buy" else OFFER
    result = clear(
        Book(
            side=np.append(book.side[rows], side).astype(np.int8),
            price=np.append(book.limit[rows], draft.limit_micros),
            quantity=np.append(book.available[rows], draft.quantity_st) // product.lot_st,
            cohort=np.append(book.cohort[rows], np.iinfo(np.int64).max),
            tie=[order.tobytes() for order in book.order[rows]] + [b"\xff" * 32],
            collar_low=quote.collar.low if quote.collar else None,
            collar_high=quote.collar.high if quote.collar else None,
            tick=product.tick_micros,
        )
    )
    price = result.price if result.volume else None
    quantity = int(result.fill[-1]) * product.lot_st
    return Expected((ExpectedFill(product, quantity, quantity * (price or 0)),) if quantity else (), price)
