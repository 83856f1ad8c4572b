"""What an offer meets: today's book with its own step in it, and the rounds of the past that it might have sold in.

Prices are micro-yuan per million ST, quantities ST. A curve is a list of
(price, quantity up to and including this price), best first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

Level = tuple[int, int]
_MILLION = 10**6


@dataclass(frozen=True, slots=True)
class InBook:
    """Supply with an offer's own step in it, which reaches from `from_st` to `to_st`.

    `wanted_st`: bids at the offer's limit or above.
    """

    supply: tuple[Level, ...]
    from_st: int
    to_st: int
    wanted_st: int


@dataclass(frozen=True, slots=True)
class HourOffer:
    """What the offer would have been in one window."""

    window_start: datetime
    limit_micros: int
    quantity_st: int


@dataclass(frozen=True, slots=True)
class Traded:
    """What rounds traded of one window's product at one price."""

    window_start: datetime
    price_micros: int
    volume_st: int


@dataclass(frozen=True, slots=True)
class Replay:
    """An offer set against past rounds; see `replay`.

    `hours`: windows that the offer covers; `priced_hours`: those that traded at
    all; `reached_hours`: those that traded at the offer's limit or above.
    `offered_st` sums the priced hours only.
    """

    hours: int
    priced_hours: int
    reached_hours: int
    offered_st: int
    most_st: int
    most_micros: int


def in_book(demand: Sequence[Level], supply: Sequence[Level], *, limit_micros: int, quantity_st: int) -> InBook:
    """Put an offer behind all that is as cheap: at equal prices, older orders sell first. Nothing is no step."""
    ahead = [level for level in supply if level[0] <= limit_micros]
    before = ahead[-1][1] if ahead else 0
    behind = [(price, size + quantity_st) for price, size in supply[len(ahead) :]]
    wanted = [size for price, size in demand if price >= limit_micros]
    return InBook(
        supply=(*ahead, *([(limit_micros, before + quantity_st)] if quantity_st else []), *behind),
        from_st=before,
        to_st=before + quantity_st,
        wanted_st=wanted[-1] if wanted else 0,
    )


def replay(hours: Sequence[HourOffer], traded: Iterable[Traded]) -> Replay:
    """Set an offer against what was traded, hour by hour; trades of other hours are passed over.

    `most_st` is what it would have sold had it taken every ST that traded at its
    limit or above, up to its quantity in each hour; `most_micros` what those
    would have brought at the prices of then, the dearest first, rounded down
    once, before the market's fee. The prices are taken as they were: what the
    offer itself would have done to them is not in it, and neither is a bid that
    stayed unfilled.
    """
    by_hour: dict[datetime, list[Traded]] = defaultdict(list)
    for one in traded:
        if one.volume_st > 0:
            by_hour[one.window_start].append(one)
    priced = [hour for hour in hours if hour.window_start in by_hour]
    reached, most_st, value = 0, 0, 0
    for hour in priced:
        above = [one for one in by_hour[hour.window_start] if one.price_micros >= hour.limit_micros]
        reached += bool(above)
        left = hour.quantity_st
        for one in sorted(above, key=lambda one: -one.price_micros):
            sold = min(left, one.volume_st)
            left -= sold
            most_st += sold
            value += sold * one.price_micros
    return Replay(
        hours=len(hours),
        priced_hours=len(priced),
        reached_hours=reached,
        offered_st=sum(hour.quantity_st for hour in priced),
        most_st=most_st,
        most_micros=value // _MILLION,
    )
