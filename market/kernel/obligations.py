"""What follows a window: paid though not drawn, given up for a fee, made good where it was not delivered.

Quantities are micro-ST, prices micro-yuan per million ST, exact amounts 10⁻¹⁸ yuan. Source: docs/market-rules.md, "After".
"""

from __future__ import annotations

BPS = 10_000
# Of a window's requests so many keep the promise, or all of them are billed at a lower price.
PROMISED_BPS = 9_500
# Of the price, where no lower grade traded in the window.
WITHOUT_LOWER_BPS = 7_000
EXACT_PER_MICRO = 10**12


def undrawn_micro_st(*, bought: int, drawn: int, short: int, cancelled: bool = False) -> int:
    """What is left of an allocation once its window is over: neither drawn, nor asked for in vain, nor given up.

    drawn + short + undrawn = bought, for every allocation that was not cancelled.
    """
    assert drawn >= 0 and short >= 0 and drawn + short <= bought
    return 0 if cancelled else bought - drawn - short


def cancellation_fee_micros(cost_micros: int, *, fee_bps: int) -> int:
    """The share of price × quantity that the seller keeps, half up to the micro-yuan; the rest of the hold is free.

    Never more than what is held, so that fee + release = hold.
    """
    assert cost_micros >= 0 and 0 <= fee_bps <= BPS
    return (2 * cost_micros * fee_bps + BPS) // (2 * BPS)


def is_promise_broken(*, judged: int, kept: int) -> bool:
    """Whether fewer than 95 % of the requests that could be judged were served within their grade."""
    assert 0 <= kept <= judged
    return kept * BPS < judged * PROMISED_BPS


def price_of_broken_promise(price_micros: int, *, lower_grade_micros: int | None) -> int:
    """What a million ST costs where the promise was broken: the next lower grade's price, without one 0.7 of its own.

    Never more than its own price; rounded down, in the buyer's favour.
    """
    if lower_grade_micros is None:
        return price_micros * WITHOUT_LOWER_BPS // BPS
    return min(price_micros, lower_grade_micros)


def shortfall_micro_st(
    asked: int, *, bought: int, drawn: int, short: int, reserved: int, elapsed: int, whole: int
) -> int:
    """What of a request that nobody delivered was due by now, and not made good before.

    Due is the share of the purchase that an even draw had come to after `elapsed` of its `whole` time, so that asking
    again and again for what fails earns nothing more than waiting would have.
    """
    assert min(asked, drawn, short, reserved) >= 0 and 0 <= elapsed <= whole and whole > 0
    due = bought * elapsed // whole - drawn - short
    return max(0, min(asked, due, bought - drawn - short - reserved))
