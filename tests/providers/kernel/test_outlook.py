"""An offer in a book, and against past rounds."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from providers.kernel.outlook import HourOffer, InBook, Replay, Traded, in_book, replay
from providers.kernel.schedule import MARKET_CLOCK

EIGHT = datetime(2026, 11, 23, 8, tzinfo=MARKET_CLOCK)
NINE, TEN, NOON = (EIGHT + timedelta(hours=hours) for hours in (1, 2, 4))

prices = st.integers(1, 20)
sizes = st.integers(1, 10**9)


def curves(*, best_high: bool):
    def cumulative(levels: dict[int, int]) -> list[tuple[int, int]]:
        total, steps = 0, []
        for price in sorted(levels, reverse=best_high):
            total += levels[price]
            steps.append((price, total))
        return steps

    return st.dictionaries(prices, sizes, max_size=8).map(cumulative)


class TestInBook:
    def test_stands_behind_what_is_as_cheap_and_pushes_the_rest_back(self) -> None:
        found = in_book([(9, 100), (5, 300), (4, 400)], [(3, 50), (5, 80), (7, 200)], limit_micros=5, quantity_st=1_000)

        assert found == InBook(((3, 50), (5, 80), (5, 1_080), (7, 1_200)), from_st=80, to_st=1_080, wanted_st=300)

    def test_stands_alone_in_an_empty_book(self) -> None:
        assert in_book([], [], limit_micros=5, quantity_st=10) == InBook(((5, 10),), 0, 10, 0)

    def test_is_no_step_where_it_has_nothing_left_to_offer(self) -> None:
        assert in_book([], [(3, 50)], limit_micros=5, quantity_st=0).supply == ((3, 50),)

    @given(curves(best_high=True), curves(best_high=False), prices, sizes)
    def test_adds_its_quantity_and_keeps_the_steps_in_order(self, demand, supply, limit, quantity) -> None:
        found = in_book(demand, supply, limit_micros=limit, quantity_st=quantity)

        assert list(found.supply) == sorted(found.supply)
        assert found.supply[-1][1] == (supply[-1][1] if supply else 0) + quantity
        assert found.to_st - found.from_st == quantity
        assert found.wanted_st == max((size for price, size in demand if price >= limit), default=0)


class TestReplay:
    def test_counts_the_hours_that_traded_at_its_limit_or_above(self) -> None:
        hours = [HourOffer(EIGHT, 200, 1_000), HourOffer(NINE, 200, 1_000), HourOffer(TEN, 200, 1_000)]
        traded = [Traded(EIGHT, 200, 300), Traded(EIGHT, 150, 500), Traded(NINE, 199, 900), Traded(NOON, 900, 900)]

        found = replay(hours, traded)

        assert found == Replay(3, 2, 1, offered_st=2_000, most_st=300, most_micros=0)

    def test_sells_no_more_than_it_offers_in_an_hour_and_the_dearest_first(self) -> None:
        traded = [Traded(EIGHT, 2_000_000, 700_000), Traded(EIGHT, 3_000_000, 600_000)]

        found = replay([HourOffer(EIGHT, 1_000_000, 1_000_000)], traded)

        assert (found.most_st, found.most_micros) == (1_000_000, 600_000 * 3 + 400_000 * 2)

    def test_takes_each_hours_own_limit(self) -> None:
        hours = [HourOffer(EIGHT, 100, 10), HourOffer(NINE, 300, 10)]

        assert replay(hours, [Traded(EIGHT, 200, 10), Traded(NINE, 200, 10)]).reached_hours == 1

    def test_knows_nothing_where_nothing_traded(self) -> None:
        assert replay([HourOffer(EIGHT, 1, 10)], []) == Replay(1, 0, 0, 0, 0, 0)

    @given(
        st.dictionaries(st.integers(0, 5), st.tuples(prices, sizes)),
        st.lists(st.tuples(st.integers(0, 7), prices, sizes)),
        st.randoms(),
    )
    def test_never_sells_more_than_was_offered_or_traded_whatever_the_order(self, offered, rounds, random) -> None:
        hours = [HourOffer(EIGHT + timedelta(hours=n), limit, size) for n, (limit, size) in offered.items()]
        traded = [Traded(EIGHT + timedelta(hours=n), price, size) for n, price, size in rounds]

        found = replay(hours, traded)

        assert found.reached_hours <= found.priced_hours <= found.hours == len(hours)
        assert found.most_st <= min(found.offered_st, sum(one.volume_st for one in traded))
        assert found.most_micros <= found.most_st * 20
        random.shuffle(traded)
        assert replay(hours, traded) == found

    @given(st.lists(st.tuples(prices, sizes), min_size=1), prices, sizes)
    def test_a_lower_limit_never_sells_less(self, rounds, limit, quantity) -> None:
        traded = [Traded(EIGHT, price, size) for price, size in rounds]
        dear, cheap = (replay([HourOffer(EIGHT, one, quantity)], traded) for one in (limit + 1, limit))

        assert cheap.most_st >= dear.most_st
        assert cheap.most_micros >= dear.most_micros
        assert cheap.reached_hours >= dear.reached_hours
