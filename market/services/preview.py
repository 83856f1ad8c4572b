"""What an order would cost and do if the round closed now; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from ledger import selectors as ledger
from market import selectors
from market.kernel import orders as rules
from market.kernel.freezing import BID, OFFER
from market.kernel.money import cost_micros, fee_micros
from market.kernel.orders import OrderDraft
from market.kernel.tokens import TokenPrices
from market.matching_engine import Book, clear
from market.selectors import ProductView, Quote


@dataclass(frozen=True)
class Preview:
    """All money in micro-yuan, prices per million ST.

    `expected_fill_st` and `expected_price_micros` are what a round would give now, against the open book (None for a
    flexible bid: that depends on all the books it joins);
    `fee_micros` is what the order's owner pays on top (buyers: nothing, the price is all) or gives up (sellers);
    `distance_bps` is how far the limit lies above (+) or below (−) the reference.
    """

    product_id: UUID | None
    quantity_st: int
    expected_fill_st: int | None
    expected_price_micros: int | None
    worst_cost_micros: int
    hold_micros: int
    fee_micros: int
    reference_micros: int | None
    distance_bps: int | None
    available_micros: int | None
    collar_low_micros: int | None
    collar_high_micros: int | None
    token_prices: TokenPrices

    @property
    def short_micros(self) -> int:
        """What the wallet lacks for the hold."""
        return 0 if self.available_micros is None else max(0, self.hold_micros - self.available_micros)


def preview(draft: OrderDraft, *, now: datetime) -> Preview:
    """Look at an order before it is placed.

    :raises MarketError: the draft breaks a rule of its own (tick, lot, window, …); the collar is only reported.
    """
    market = selectors.the_market()
    line = selectors.line_for(draft.line, draft.organisation_id)
    rules.check_window(draft.window_start, now)
    terms = selectors.terms_of(market.id, draft.grade)
    rules.check_draft(draft, terms, now=now)
    product = selectors.product_at(draft.line, draft.grade, draft.window_start)
    quote = selectors.quote(product, now=now) if product else None
    fill: int | None = 0
    price: int | None = None
    if draft.is_flexible:
        fill = None
    elif product and quote:
        fill, price = _expected(draft, product, quote, now)
    worst = cost_micros(draft.limit_micros, draft.quantity_st)
    buys = draft.side == "buy"
    reference = quote.reference_micros if quote else None
    collar = quote.collar if quote else None
    return Preview(
        product_id=product.id if product else None,
        quantity_st=draft.quantity_st,
        expected_fill_st=fill,
        expected_price_micros=price,
        worst_cost_micros=worst,
        hold_micros=worst if buys else 0,
        fee_micros=0 if buys else fee_micros(worst, fee_bps=market.fee_bps),
        reference_micros=reference,
        distance_bps=(draft.limit_micros - reference) * 10_000 // reference if reference else None,
        available_micros=ledger.wallet(draft.organisation_id, market.currency).available_micros if buys else None,
        collar_low_micros=collar.low if collar else None,
        collar_high_micros=collar.high if collar else None,
        token_prices=line.token_prices(draft.limit_micros),
    )


def _expected(draft: OrderDraft, product: ProductView, quote: Quote, now: datetime) -> tuple[int, int | None]:
    """Clear the open book with this order in it. Its tie key is the last one: luck is not promised."""
    book = selectors.frozen_book(product.market_id, now=now, product_ids=[product.id])
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
    return int(result.fill[-1]) * product.lot_st, result.price if result.volume else None
