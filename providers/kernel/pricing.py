"""The limit of an off-peak offer."""

from __future__ import annotations

from providers.kernel.capacity import WHOLE_BPS


def limit_micros(list_price_micros: int | None, discount_bps: int, floor_micros: int, tick_micros: int) -> int:
    """The least that an offer takes, micro-yuan per million ST, a multiple of the tick.

    max(floor, list price × (1 − discount) rounded down to the tick). The floor
    is a multiple of the tick already. Without a list price the floor stands alone.
    """
    if list_price_micros is None:
        return floor_micros
    discounted = list_price_micros * (WHOLE_BPS - discount_bps) // WHOLE_BPS
    return max(floor_micros, discounted // tick_micros * tick_micros)
