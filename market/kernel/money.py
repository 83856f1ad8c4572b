"""Money of orders: worst case, cost of a fill, and the provider's part."""

from __future__ import annotations

MILLION = 10**6
BPS = 10_000


def cost_micros(price_micros: int, quantity_st: int) -> int:
    """Micro-yuan of a quantity at a price; whole, because tick × lot is a multiple of a million."""
    amount, rest = divmod(price_micros * quantity_st, MILLION)
    assert rest == 0, "price on the tick and quantity on the lot"
    return amount


def fee_micros(gross_micros: int, *, fee_bps: int) -> int:
    """The market's fee on a seller's proceeds, rounded half up: an estimate, billing computes it on the net amount."""
    return (2 * gross_micros * fee_bps + BPS) // (2 * BPS)
