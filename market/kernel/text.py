"""Prices as decimal strings, exactly."""

from __future__ import annotations

from accounts.kernel.decimals import plain
from market.kernel.money import MILLION

_DECIMALS = 6


def price_text(price_micros: int) -> str:
    """Yuan per million ST with at least two decimals: 1800000 is "1.80", 1234567 is "1.234567"."""
    return plain(price_micros, _DECIMALS, at_least=2)


def micros_of(text: str) -> int:
    """A decimal of yuan, checked to have at most six places, as micro-yuan: "1.8" is 1800000."""
    whole, _, fraction = text.partition(".")
    return int(whole) * MILLION + int(fraction.ljust(_DECIMALS, "0"))
