"""What follows a window: paid though not drawn, given up for a fee, made good where it was not delivered.

Quantities are micro-ST, prices micro-yuan per million ST, exact amounts 10⁻¹⁸ yuan. Source: docs/market-rules.md, "After".
"""

from __future__ import annotations

BPS = 10_000
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
