"""How much of a deployment may be sold in a window: rated ST/s × share × seconds left, in whole lots.

Source: MARKET.md, "After the round": a pool may sell its rated ST/s × remaining
seconds × declared share, not more. Offers of one deployment in one window share
its *rate*, not its quantity: as the clock runs, each shrinks with its own share,
so that together they never pass what the device can still do.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

WHOLE_BPS = 10_000


def declared_rate(rate_st_per_second: int, share_bps: int) -> int:
    """The part of the rated speed that is for sale, ST/s, rounded down."""
    return rate_st_per_second * share_bps // WHOLE_BPS


def offer_rate(declared: int, share_bps: int, taken: Iterable[int]) -> int:
    """The rate that a new offer gets, ST/s: its share of the declared rate, as far as others left it."""
    return max(0, min(declared_rate(declared, share_bps), declared - sum(taken)))


def offered_st(rate_st_per_second: int, seconds_left: int, lot_st: int) -> int:
    """What this rate yields until the window ends, ST, in whole lots; rounded down."""
    return rate_st_per_second * max(0, seconds_left) // lot_st * lot_st


def held_after_withdrawal(rate_st_per_second: int, sold_st: int, seconds_left: int) -> int:
    """The rate that a withdrawn offer still needs for what it sold, ST/s, rounded up.

    All that was sold counts as still to be delivered: some of it may have been,
    but no buyer had to draw early.
    """
    return min(rate_st_per_second, -(-sold_st // seconds_left)) if seconds_left > 0 else 0


def seconds_left(now: datetime, window_start: datetime, window_end: datetime) -> int:
    """Whole seconds of the window that are still ahead."""
    left = window_end - max(now, window_start)
    return max(0, left.days * 86_400 + left.seconds)
