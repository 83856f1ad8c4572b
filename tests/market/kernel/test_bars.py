from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.kernel.bars import INTERVALS, Bar, IndexPoint, Trade, Turnover, bars, index, start_of

CHINA = timezone(timedelta(hours=8))
instants = st.datetimes(datetime(2026, 11, 20), datetime(2026, 11, 26), timezones=st.just(UTC))
intervals = st.sampled_from(list(INTERVALS.values()))
numbers = st.integers(1, 10**12)
trade_lists = st.lists(st.builds(Trade, instants, numbers, st.integers(1, 10**15)), max_size=40)


def naive_start(at, interval):
    """Midnight in China, then one interval after the other."""
    start = at.astimezone(CHINA).replace(hour=0, minute=0, second=0, microsecond=0)
    while start + interval <= at:
        start += interval
    return start


def naive_bars(trades, interval):
    result = []
    for start in sorted({naive_start(trade.at, interval) for trade in trades}):
        mine = [trade for trade in trades if start <= trade.at < start + interval]
        open_, high, low, close = mine[0].price_micros, 0, 10**18, 0
        volume = value = 0
        for trade in mine:
            high, low, close = max(high, trade.price_micros), min(low, trade.price_micros), trade.price_micros
            volume, value = volume + trade.volume_st, value + trade.price_micros * trade.volume_st
        average = value // volume
        result.append(Bar(start, start + interval, open_, high, low, close, average, volume))
    return result


class TestBars:
    def test_of_the_rule_book(self):
        at = datetime(2026, 11, 24, 15, 59, 58, tzinfo=UTC)
        trades = [
            Trade(at, 1_800_000, 1_000), Trade(at + timedelta(seconds=1), 1_810_000, 2_000),
            Trade(at + timedelta(seconds=2), 1_790_000, 5_000),
        ]  # fmt: skip

        first, second = bars(trades, interval=INTERVALS["1m"])

        assert (first.open_micros, first.high_micros, first.low_micros) == (1_800_000, 1_810_000, 1_800_000)
        assert (first.close_micros, first.average_micros, first.volume_st) == (1_810_000, 1_806_666, 3_000)
        assert (second.start, second.volume_st) == (datetime(2026, 11, 24, 16, 0, tzinfo=UTC), 5_000)

    @pytest.mark.parametrize(("hour", "day"), [(15, 24), (16, 25), (23, 25)])
    def test_of_a_day_follow_the_market_clock(self, hour, day):
        at = datetime(2026, 11, 24, hour, 59, tzinfo=UTC)

        (one,) = bars([Trade(at, 1, 1)], interval=INTERVALS["1d"])

        assert one.start == datetime(2026, 11, day, tzinfo=CHINA)
        assert one.end - one.start == timedelta(days=1)

    @given(trade_lists, intervals)
    def test_equal_a_naive_loop(self, trades, interval):
        assert bars(trades, interval=interval) == naive_bars(trades, interval)

    @given(trade_lists, intervals)
    def test_lose_no_volume_and_keep_the_average_inside(self, trades, interval):
        found = bars(trades, interval=interval)

        assert sum(bar.volume_st for bar in found) == sum(trade.volume_st for trade in trades)
        for bar in found:
            assert bar.low_micros <= bar.average_micros <= bar.high_micros
            assert {bar.open_micros, bar.close_micros} <= {trade.price_micros for trade in trades}

    @given(instants, intervals)
    def test_start_where_a_naive_clock_says(self, at, interval):
        assert start_of(at, interval) == naive_start(at, interval)


class TestIndex:
    @given(trade_lists)
    def test_weighs_all_trades_by_their_volume(self, trades):
        turnovers = [Turnover(one.at, one.price_micros * one.volume_st, one.volume_st) for one in trades]
        naive = [
            IndexPoint(bar.start, bar.end, bar.average_micros, bar.volume_st)
            for bar in naive_bars(trades, INTERVALS["5m"])
        ]

        assert index(turnovers) == naive
