"""The collar: how far from its reference a price may be, and how that widens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

BPS = 10_000
BAND_BPS = 2_000
WIDEST_BPS = 8_000
HITS_TO_WIDEN = 3
ROUNDS = 12


@dataclass(frozen=True)
class Band:
    """Half-width of the collar in basis points of the reference, and the rounds in a row that hit it."""

    bps: int = BAND_BPS
    hits: int = 0

    def after(self, *, hit: bool) -> Band:
        """The band of the next round: doubled after three hits in a row (at most 80 %), 20 % after none."""
        if not hit:
            return Band()
        if self.hits + 1 < HITS_TO_WIDEN:
            return Band(self.bps, self.hits + 1)
        return Band(min(2 * self.bps, WIDEST_BPS), 0)


@dataclass(frozen=True)
class Collar:
    """Lowest and highest limit that counts, in micro-yuan per million ST."""

    low: int
    high: int


def stands_at_edge(edges: Collar | None, *, best_bid: int, best_offer: int) -> bool:
    """Whether bids wait at the upper edge with all offers above it, or offers at the lower one with all bids below it.

    Then it is the collar that keeps them apart, and it would stay where the last trade left it if this were no hit.
    """
    if edges is None:
        return False
    return best_bid >= edges.high < best_offer or best_offer <= edges.low > best_bid


def reference(trades: Iterable[tuple[int, int]]) -> int | None:
    """Volume-weighted price of (price, volume) pairs, rounded down; None where nothing traded."""
    pairs = list(trades)
    volume = sum(quantity for _, quantity in pairs)
    return sum(price * quantity for price, quantity in pairs) // volume if volume else None


def collar(reference_micros: int, *, tick: int, bps: int) -> Collar:
    """`[L, U]` around the reference: L rounded down to the tick (at least one tick), U rounded up."""
    low = reference_micros * (BPS - bps) // BPS // tick * tick
    high = -(-reference_micros * (BPS + bps) // (BPS * tick)) * tick
    return Collar(max(low, tick), max(high, tick))
