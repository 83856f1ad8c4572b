"""What an order would cost and do if the round closed now; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger import selectors as ledger
from market import selectors
from market.kernel import orders as rules
from market.kernel.money import cost_micros, fee_micros
from market.kernel.orders import OrderDraft
from market.kernel.tokens import TokenPrices
from market.selectors import ListPriceView
from market.services import expecting
from market.services.expecting import Expected, ExpectedFill


@dataclass(frozen=True)
class Preview:
    """All money in micro-yuan, prices per million ST.

    `expected_fill_st` and `expected_price_micros` are what a round would give now, against the open book, and
    `expected` the same by product; where that cannot be told they are None and `expected_unknown` says why.
    `list_price` is the vendors' of line and grade, and `list_cost_micros` what the whole quantity costs there;
    `fee_micros` is what the order's owner pays on top (buyers: nothing, the price is all) or gives up (sellers);
    `distance_bps` is how far the limit lies above (+) or below (−) the reference.
    """

    product_id: UUID | None
    quantity_st: int
    expected_fill_st: int | None
    expected_price_micros: int | None
    expected: tuple[ExpectedFill, ...]
    expected_unknown: str | None
    worst_cost_micros: int
    hold_micros: int
    fee_micros: int
    reference_micros: int | None
    distance_bps: int | None
    available_micros: int | None
    collar_low_micros: int | None
    collar_high_micros: int | None
    token_prices: TokenPrices
    list_price: ListPriceView | None

    @property
    def list_cost_micros(self) -> int | None:
        """Micro-yuan of the whole quantity at the vendors' list price."""
        return cost_micros(self.list_price.price_micros, self.quantity_st) if self.list_price else None

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
    if draft.side == "buy":
        expected = expecting.of_bid(draft, now=now)
    else:
        expected = expecting.of_offer(draft, product, now=now) if product else Expected()
    worst = cost_micros(draft.limit_micros, draft.quantity_st)
    buys = draft.side == "buy"
    reference = quote.reference_micros if quote else None
    collar = quote.collar if quote else None
    return Preview(
        product_id=product.id if product else None,
        quantity_st=draft.quantity_st,
        expected_fill_st=expected.quantity_st,
        expected_price_micros=expected.average_micros,
        expected=expected.fills,
        expected_unknown=expected.unknown,
        worst_cost_micros=worst,
        hold_micros=worst if buys else 0,
        fee_micros=0 if buys else fee_micros(worst, fee_bps=market.fee_bps),
        reference_micros=reference,
        distance_bps=(draft.limit_micros - reference) * 10_000 // reference if reference else None,
        available_micros=ledger.wallet(draft.organisation_id, market.currency).available_micros if buys else None,
        collar_low_micros=collar.low if collar else None,
        collar_high_micros=collar.high if collar else None,
        token_prices=line.token_prices(draft.limit_micros),
        list_price=selectors.list_price(draft.line, draft.grade, at=now),
    )
