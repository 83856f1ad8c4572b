"""The matching engine against the rules' own figures, against a naive oracle, and against what always holds."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from market.matching_engine import Book, BookInvalid, BookTooLarge, check, clear
from tests.market.kernel.books import (
    BID,
    EXAMPLES,
    OFFER,
    Row,
    book,
    clipped,
    oracle,
    reference,
    rows_of,
    said,
    welfare,
)

UNLIMITED = rows_of(prices=st.one_of(st.none(), st.integers(-10, 10)))
COLLARS = st.tuples(st.one_of(st.none(), st.integers(-12, 0)), st.one_of(st.none(), st.integers(0, 12)))


class TestFigures:
    def test_the_reference_book_trades_127295_at_9998(self) -> None:
        result = clear(reference(10_000))

        assert (result.volume, result.price) == (127_295, 9_998)
        check(reference(10_000), result)

    @pytest.mark.parametrize("rows", [[], [(0, 5, 1, 0)], [(1, 5, 1, 0)], [(0, 4, 1, 0), (1, 5, 1, 0)]])
    def test_empty_one_sided_and_uncrossed_books_print_no_price(self, rows: list[Row]) -> None:
        one = book(rows, collar_low=4, collar_high=5)
        result = clear(one)

        assert (result.price, result.low, result.high, result.volume, result.collar_hit) == (None, None, None, 0, False)
        check(one, result)

    def test_the_price_is_the_middle_rounded_down_to_the_tick(self) -> None:
        assert clear(book([(0, 70, 5, 0), (1, 40, 5, 0)], tick=10)).price == 50
        assert clear(book([(0, -40, 5, 0), (1, -70, 5, 0)], tick=10)).price == -60

    def test_an_older_cohort_is_served_first(self) -> None:
        result = clear(book([(0, 10, 6, 2), (0, 10, 6, 1), (1, 10, 8, 0)]))

        assert result.fill.tolist() == [2, 6, 8]

    def test_lots_left_over_go_to_the_largest_remainder_then_to_the_smallest_tie(self) -> None:
        ties = [bytes([9]) * 32, bytes([1]) * 32, bytes([5]) * 32, bytes(32)]
        result = clear(book([(0, 10, 3, 0), (0, 10, 3, 0), (0, 10, 3, 0), (1, 10, 4, 0)], tie=ties))

        assert result.fill.tolist() == [1, 2, 1, 4]


class TestOrdersThatTakeAnyPrice:
    def test_leave_the_price_to_the_others(self) -> None:
        one = book([(0, None, 5, 0), (0, 8, 5, 0), (1, 3, 7, 0)])
        result = clear(one)

        assert (result.volume, result.fill.tolist(), result.price) == (7, [5, 2, 7], 8)
        check(one, result)

    def test_leave_an_end_of_the_interval_open_where_no_collar_stands(self) -> None:
        rows: list[Row] = [(0, 9, 4, 0), (1, None, 4, 0)]

        assert (clear(book(rows)).low, clear(book(rows)).high, clear(book(rows)).price) == (None, 9, None)
        assert clear(book(rows, collar_low=5)).price == 7

    def test_print_no_price_when_more_is_wanted_than_offered_at_every_price(self) -> None:
        one = book([(0, None, 9, 0), (1, 3, 4, 0)])
        result = clear(one)

        assert (result.volume, result.low, result.high, result.price) == (4, None, None, None)
        check(one, result)

    def test_meet_offers_that_a_collar_lifted_above_all_limits(self) -> None:
        assert clear(book([(0, None, 3, 0), (1, 2, 3, 0)], collar_low=100)).volume == 3

    @EXAMPLES
    @given(UNLIMITED, COLLARS)
    def test_clear_as_the_oracle_says(self, rows: list[Row], collar: tuple[int | None, int | None]) -> None:
        one = book(rows, collar_low=collar[0], collar_high=collar[1])
        result = clear(one)

        assert said(result) == oracle(rows, low=collar[0], high=collar[1])
        check(one, result)


class TestSizes:
    def test_too_much_for_64_bits_is_refused(self) -> None:
        with pytest.raises(BookTooLarge):
            clear(book([(0, 1, 2**61, 0), (0, 1, 2**61, 0), (1, 1, 1, 0)]))
        with pytest.raises(BookTooLarge):
            clear(book([(0, 1, 2**61, 0)] * 8 + [(1, 1, 1, 0)]))
        with pytest.raises(BookTooLarge):
            clear(book([(0, 2**61, 1, 0), (1, 1, 1, 0)]))

    def test_the_bound_is_exact(self) -> None:
        rows: list[Row] = [(0, 1, 2**61 + 2**30, 0), (0, 1, 2**61 - 2**30 - 2, 0), (1, 1, 1, 0)]

        assert clear(book(rows)).volume == 1
        with pytest.raises(BookTooLarge):
            clear(book([*rows, (1, 1, 1, 0)]))

    def test_a_million_orders_of_a_trillion_lots_stay_exact(self) -> None:
        count = 10**6
        r = np.random.default_rng(7)
        side, cohort = (np.arange(count) % 2).astype(np.int8), np.arange(count) % 5
        price, quantity = r.integers(9_990, 10_011, count) * 10**6, r.integers(10**12 - 10**6, 10**12 + 1, count)
        ties = [number.to_bytes(32) for number in range(count)]
        result = clear(Book(side, price, quantity, cohort, ties, tick=10**6))

        fills = result.fill.tolist()
        sides = side.tolist()
        bought = sum(fill for fill, is_offer in zip(fills, sides, strict=True) if not is_offer)
        sold = sum(fill for fill, is_offer in zip(fills, sides, strict=True) if is_offer)
        worth = sum((-p if s else p) * f for p, s, f in zip(price.tolist(), sides, fills, strict=True))
        assert bought == sold == result.volume > 2 * 10**17
        assert worth == result.welfare > 2**63

    @EXAMPLES
    @given(rows_of(quantities=st.integers(1, 10**17), prices=st.integers(-(10**13), 10**13), most=12))
    def test_large_and_scattered_numbers_equal_the_oracle(self, rows: list[Row]) -> None:
        assert said(clear(book(rows))) == oracle(rows)

    @EXAMPLES
    @given(rows_of(quantities=st.integers(10**15, 10**17), prices=st.integers(0, 2), most=24))
    def test_large_quantities_at_few_prices_equal_the_oracle(self, rows: list[Row]) -> None:
        assert said(clear(book(rows))) == oracle(rows)

    def test_a_cohort_for_each_order_of_a_crowded_price_takes_no_longer_than_one_for_all(self) -> None:
        count = 40_000
        side = (np.arange(count) % 2).astype(np.int8)
        quantity = np.where(side == BID, 3, 2)
        ties = [number.to_bytes(32) for number in range(count)]
        one = Book(side, np.full(count, 10), quantity, np.arange(count), ties)

        began = time.perf_counter()
        result = clear(one)

        assert time.perf_counter() - began < 0.5  # some 10 ms; a pass over the price for each cohort takes seconds
        check(one, result)


class TestRefusals:
    @pytest.mark.parametrize(
        ("rows", "more"),
        [
            ([(0, 15, 1, 0), (1, 10, 1, 0)], {"tick": 10}),
            ([(0, 10, -1, 0), (1, 10, 1, 0)], {}),
            ([(0, 10, 1, 0), (1, 10, 1, 0)], {"tick": 0}),
            ([(0, 10, 1, 0), (1, 10, 1, 0)], {"tick": 10, "collar_low": 5}),
            ([(0, 10, 1, 0), (1, 10, 1, 0)], {"collar_low": 9, "collar_high": 8}),
            ([(0, 10, 1, 0), (1, 10, 1, 0)], {"tie": [b""]}),
        ],
    )
    def test_a_book_that_is_not_one_is_refused(self, rows: list[Row], more: dict[str, Any]) -> None:
        with pytest.raises(BookInvalid):
            clear(book(rows, **more))


class TestProperties:
    @EXAMPLES
    @given(rows_of())
    def test_equal_a_naive_oracle(self, rows: list[Row]) -> None:
        assert said(clear(book(rows))) == oracle(rows)

    @EXAMPLES
    @given(rows_of(prices=st.integers(1, 4), quantities=st.integers(1, 3), most=5))
    def test_no_choice_of_fills_has_more_welfare_or_as_much_and_more_volume(self, rows: list[Row]) -> None:
        best = (0, 0)
        for fills in product(*(range(row[2] + 1) for row in rows)):
            bought = sum(fill for row, fill in zip(rows, fills, strict=True) if row[0] == BID)
            if 2 * bought == sum(fills):
                best = max(best, (welfare(rows, clipped(rows), list(fills)), bought))
        result = clear(book(rows))

        assert (result.welfare, result.volume) == best

    @EXAMPLES
    @given(rows_of(), st.integers(1, 4))
    def test_nobody_loses_inside_is_full_outside_is_nothing_and_paid_is_received(
        self, rows: list[Row], tick: int
    ) -> None:
        scaled = [(side, price * tick, quantity, cohort) for side, price, quantity, cohort in rows]
        result = clear(book(scaled, tick=tick))
        assume(result.price is not None)

        money = [0, 0]
        for (side, price, quantity, _), fill in zip(scaled, result.fill.tolist(), strict=True):
            gain = price - result.price if side == BID else result.price - price
            assert 0 <= fill <= quantity
            assert (gain >= 0 or not fill) and (gain <= 0 or fill == quantity)
            money[side] += result.price * fill
        assert money[BID] == money[OFFER] == result.price * result.volume
        assert result.low <= result.price <= result.high and result.price % tick == 0
        assert result.price <= (result.low + result.high) / 2 < result.price + tick

    @EXAMPLES
    @given(rows_of(), st.integers(1, 15), st.integers(15, 30))
    def test_the_collar_clips_and_holds(self, rows: list[Row], low: int, high: int) -> None:
        result = clear(book(rows, collar_low=low, collar_high=high))

        assert said(result) == oracle(rows, low=low, high=high)
        assert result.price is None or low <= result.price <= high
        assert result.collar_hit == (result.price in {low, high})

    @EXAMPLES
    @given(rows_of())
    def test_a_collar_that_no_limit_reaches_changes_nothing(self, rows: list[Row]) -> None:
        assert said(clear(book(rows, collar_low=0, collar_high=31))) == said(clear(book(rows)))

    @EXAMPLES
    @given(rows_of(), st.randoms(use_true_random=False))
    def test_neither_the_order_of_the_rows_nor_the_numbers_of_cohorts_change_anything(
        self, rows: list[Row], dice: Any
    ) -> None:
        places = list(range(len(rows)))
        dice.shuffle(places)
        ties = [number.to_bytes(32) for number in places]
        shown = [(*rows[place][:3], 7 * rows[place][3] - 2) for place in places]
        mixed = clear(book(shown, tie=ties))

        plain = clear(book(rows))
        assert mixed.fill.tolist() == [plain.fill.tolist()[place] for place in places]
        assert replace(mixed, fill=plain.fill) == replace(plain, fill=plain.fill)

    @EXAMPLES
    @given(rows_of(), st.integers(2, 50), st.integers(2, 50))
    def test_scaled_prices_scale_the_price_and_scaled_quantities_the_volume(
        self, rows: list[Row], factor: int, times: int
    ) -> None:
        plain = clear(book(rows))
        dearer = clear(book([(s, p * factor, q, c) for s, p, q, c in rows], tick=factor))
        larger = clear(book([(s, p, q * times, c) for s, p, q, c in rows]))

        assert dearer.fill.tolist() == plain.fill.tolist()
        assert dearer.welfare == plain.welfare * factor
        assert dearer.price == (None if plain.price is None else plain.price * factor)
        assert (larger.low, larger.high, larger.price) == (plain.low, plain.high, plain.price)
        assert (larger.volume, larger.welfare) == (plain.volume * times, plain.welfare * times)

    @EXAMPLES
    @given(rows_of(), st.tuples(st.integers(1, 30), st.integers(1, 40)))
    def test_one_more_bid_never_lowers_and_one_more_offer_never_raises_the_interval(
        self, rows: list[Row], more: tuple[int, int]
    ) -> None:
        plain = clear(book(rows))
        assume(plain.volume)
        bid, offer = (clear(book([*rows, (side, *more, 9)])) for side in (BID, OFFER))

        assert bid.low >= plain.low and bid.high >= plain.high
        assert offer.low <= plain.low and offer.high <= plain.high

    @EXAMPLES
    @given(rows_of(quantities=st.integers(2, 40)), st.data())
    def test_splitting_an_order_in_its_cohort_gains_at_most_two_lots(self, rows: list[Row], data: Any) -> None:
        assume(rows)
        place = data.draw(st.integers(0, len(rows) - 1))
        side, price, quantity, cohort = rows[place]
        part = data.draw(st.integers(1, quantity - 1))
        split = [*rows[:place], (side, price, part, cohort), *rows[place + 1 :], (side, price, quantity - part, cohort)]

        whole, parts = clear(book(rows)), clear(book(split))

        assert int(parts.fill[place] + parts.fill[-1]) <= int(whole.fill[place]) + 2

    @EXAMPLES
    @given(rows_of(prices=st.just(10)))
    def test_a_cohort_at_the_price_is_within_one_lot_of_exact_shares(self, rows: list[Row]) -> None:
        fills = clear(book(rows)).fill.tolist()

        for group in {(row[0], row[3]) for row in rows}:
            members = [(row[2], fill) for row, fill in zip(rows, fills, strict=True) if (row[0], row[3]) == group]
            wanted, given_out = (sum(column) for column in zip(*members, strict=True))
            assert all(abs(quantity * given_out - fill * wanted) < wanted for quantity, fill in members)
