"""Trades drawn together over time: bars of one product, and the index of a line. Whole numbers only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

# Intervals start on the market clock (UTC+08:00), which matters for days only.
_ORIGIN = datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=8)))
INTERVALS = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
}
INDEX_INTERVAL = INTERVALS["5m"]


@dataclass(frozen=True)
class Trade:
    """One product's part of a round: when it closed, micro-yuan per million ST, and ST (above 0)."""

    at: datetime
    price_micros: int
    volume_st: int


@dataclass(frozen=True)
class Turnover:
    """What was traded at an instant, maybe at several prices: Σ price × volume, and ST (above 0)."""

    at: datetime
    value: int
    volume_st: int


@dataclass(frozen=True)
class Bar:
    """What one product did in `[start, end)`; `average_micros` is the volume-weighted price, rounded down."""

    start: datetime
    end: datetime
    open_micros: int
    high_micros: int
    low_micros: int
    close_micros: int
    average_micros: int
    volume_st: int


@dataclass(frozen=True)
class IndexPoint:
    """Volume-weighted price of a line and grade in `[start, end)`, rounded down, over all of its windows."""

    start: datetime
    end: datetime
    price_micros: int
    volume_st: int


def start_of(at: datetime, interval: timedelta) -> datetime:
    """Start of the interval that an instant lies in, in UTC; days are those of the market clock."""
    return (at - (at - _ORIGIN) % interval).astimezone(UTC)


def bars(trades: Iterable[Trade], *, interval: timedelta) -> list[Bar]:
    """Bars of trades given in the order of their rounds, earliest first; intervals without a trade have none."""
    groups: dict[datetime, list[Trade]] = defaultdict(list)
    for trade in trades:
        groups[start_of(trade.at, interval)].append(trade)
    return [_bar(start, start + interval, groups[start]) for start in sorted(groups)]


def index(turnovers: Iterable[Turnover], *, interval: timedelta = INDEX_INTERVAL) -> list[IndexPoint]:
    """The volume-weighted price of each interval with a trade, earliest first."""
    values: dict[datetime, int] = defaultdict(int)
    volumes: dict[datetime, int] = defaultdict(int)
    for one in turnovers:
        start = start_of(one.at, interval)
        values[start] += one.value
        volumes[start] += one.volume_st
    return [
        IndexPoint(start, start + interval, values[start] // volumes[start], volumes[start]) for start in sorted(values)
    ]


def _bar(start: datetime, end: datetime, trades: list[Trade]) -> Bar:
    prices = [trade.price_micros for trade in trades]
    volume = sum(trade.volume_st for trade in trades)
    value = sum(trade.price_micros * trade.volume_st for trade in trades)
    return Bar(
        start=start,
        end=end,
        open_micros=prices[0],
        high_micros=max(prices),
        low_micros=min(prices),
        close_micros=prices[-1],
        average_micros=value // volume,
        volume_st=volume,
    )
