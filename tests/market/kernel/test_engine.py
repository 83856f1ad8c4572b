"""The matching engine against the rules' own figures, against a naive oracle, and against its checker."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from market.matching_engine import Book, BookTooLarge, Breach, Result, check, clear

EXAMPLES = settings(max_examples=500, deadline=None)
Row = tuple[int, int, int, int]  # side, price, quantity, cohort


def book(rows: list[Row], **more: Any) -> Book:
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    side, price, quantity, cohort = columns
    return Book(
        np.array(side, dtype=np.int8),
        np.array(price, dtype=np.int64),
        np.array(quantity, dtype=np.int64),
        np.array(cohort, dtype=np.int64),
        more.pop("tie", [number.to_bytes(32) for number in range(len(rows))]),
        **more,
    )


def reference(count: int) -> Book:
    r = np.random.default_rng(42)
    side = (np.arange(count) % 2).astype(np.int8)
    price = np.clip(np.rint(r.normal(10000, 200, count)), 1, None).astype(np.int64)
    quantity = r.integers(1, 101, count)
    ties = [number.to_bytes(32) for number in range(count)]
    return Book(side, price, quantity, np.zeros(count, dtype=np.int64), ties)


def oracle(rows: list[Row], *, tick: int = 1, low: int | None = None, high: int | None = None) -> dict[str, Any]:
    """The rules in plain loops, over every price that could matter."""
    limits = [
        (min(p, high) if high is not None else p) if side == 0 else (max(p, low) if low is not None else p)
        for side, p, _, _ in rows
    ]
    demand = lambda p: sum(q for (s, _, q, _), x in zip(rows, limits, strict=True) if s == 0 and x >= p)  # noqa: E731
    supply = lambda p: sum(q for (s, _, q, _), x in zip(rows, limits, strict=True) if s == 1 and x <= p)  # noqa: E731
    volume = max((min(demand(p), supply(p)) for p in limits), default=0)
    fills = [0] * len(rows)
    if not volume:
        return {"volume": 0, "fills": fills, "price": None, "low": None, "high": None, "welfare": 0}
    for side in (0, 1):
        left = volume
        order = sorted({x for (s, *_), x in zip(rows, limits, strict=True) if s == side}, reverse=side == 0)
        for price in order:
            for age in sorted({rows[i][3] for i, x in enumerate(limits) if rows[i][0] == side and x == price}):
                cohort = [i for i, x in enumerate(limits) if rows[i][0] == side and x == price and rows[i][3] == age]
                wanted = sum(rows[i][2] for i in cohort)
                given = min(wanted, left)
                exact = {i: Fraction(rows[i][2] * given, wanted) for i in cohort}
                for i in cohort:
                    fills[i] = int(exact[i])
                extra = given - sum(fills[i] for i in cohort)
                for i in sorted(cohort, key=lambda i: (-(exact[i] % 1), i))[:extra]:
                    fills[i] += 1
                left -= given
    served = [[x for i, x in enumerate(limits) if rows[i][0] == s and fills[i]] for s in (0, 1)]
    still = [[x for i, x in enumerate(limits) if rows[i][0] == s and fills[i] < rows[i][2]] for s in (0, 1)]
    bottom, top = max(served[1] + still[0]), min(served[0] + still[1])
    welfare = sum((1 if rows[i][0] == 0 else -1) * x * fills[i] for i, x in enumerate(limits))
    return {"volume": volume, "fills": fills, "price": (bottom // tick + top // tick) // 2 * tick, "low": bottom,
            "high": top, "welfare": welfare}  # fmt: skip


rows_of = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 30), st.integers(1, 40), st.integers(0, 3)), min_size=0, max_size=24
)


def said(result: Result) -> dict[str, Any]:
    return {"volume": result.volume, "fills": result.fill.tolist(), "price": result.price, "low": result.low,
            "high": result.high, "welfare": result.welfare}  # fmt: skip


class TestFigures:
    def test_the_reference_book_trades_127295_at_9998(self) -> None:
        result = clear(reference(10_000))

        assert (result.volume, result.price) == (127_295, 9_998)
        check(reference(10_000), result)

    @pytest.mark.parametrize("rows", [[], [(0, 5, 1, 0)], [(1, 5, 1, 0)], [(0, 4, 1, 0), (1, 5, 1, 0)]])
    def test_empty_one_sided_and_uncrossed_books_print_no_price(self, rows: list[Row]) -> None:
        result = clear(book(rows))

        assert (result.price, result.low, result.high, result.volume) == (None, None, None, 0)

    def test_the_price_is_the_middle_rounded_down_to_the_tick(self) -> None:
        assert clear(book([(0, 70, 5, 0), (1, 40, 5, 0)], tick=10)).price == 50

    def test_an_older_cohort_is_served_first(self) -> None:
        result = clear(book([(0, 10, 6, 2), (0, 10, 6, 1), (1, 10, 8, 0)]))

        assert result.fill.tolist() == [2, 6, 8]

    def test_lots_left_over_go_to_the_largest_remainder_then_to_the_smallest_tie(self) -> None:
        ties = [bytes([9]) * 32, bytes([1]) * 32, bytes([5]) * 32, bytes(32)]
        result = clear(book([(0, 10, 3, 0), (0, 10, 3, 0), (0, 10, 3, 0), (1, 10, 4, 0)], tie=ties))

        assert result.fill.tolist() == [1, 2, 1, 4]

    def test_bids_of_any_price_leave_the_price_to_the_others(self) -> None:
        one = book([(0, 0, 5, 0), (0, 8, 5, 0), (1, 3, 7, 0)], takes_any=np.array([True, False, False]))
        result = clear(one)

        assert (result.volume, result.fill.tolist(), result.price) == (7, [5, 2, 7], 8)
        check(one, result)

    def test_too_much_for_64_bits_is_refused(self) -> None:
        with pytest.raises(BookTooLarge):
            clear(book([(0, 1, 2**61, 0), (0, 1, 2**61, 0), (1, 1, 1, 0)]))

    def test_a_million_orders_of_a_trillion_lots_stay_exact(self) -> None:
        count, size = 10**6, 10**12 + 7
        side = (np.arange(count) % 2).astype(np.int8)
        one = Book(
            side,
            np.where(side == 0, 11, 9).astype(np.int64),
            np.full(count, size),
            np.zeros(count, dtype=np.int64),
            [b""] * count,
        )
        result = clear(one)

        assert result.volume == size * count // 2
        assert result.welfare == 2 * size * count // 2


class TestProperties:
    @EXAMPLES
    @given(rows_of)
    def test_equal_a_naive_oracle(self, rows: list[Row]) -> None:
        assert said(clear(book(rows))) == oracle(rows)

    @EXAMPLES
    @given(rows_of, st.integers(1, 15), st.integers(15, 30))
    def test_the_collar_clips_and_holds(self, rows: list[Row], low: int, high: int) -> None:
        result = clear(book(rows, collar_low=low, collar_high=high))

        assert said(result) == oracle(rows, low=low, high=high)
        assert result.price is None or low <= result.price <= high

    @EXAMPLES
    @given(rows_of, st.randoms(use_true_random=False))
    def test_no_order_of_the_rows_changes_anything(self, rows: list[Row], dice: Any) -> None:
        places = list(range(len(rows)))
        dice.shuffle(places)
        ties = [number.to_bytes(32) for number in places]
        mixed = clear(book([rows[place] for place in places], tie=ties))

        plain = clear(book(rows))
        assert [mixed.fill.tolist()[places.index(i)] for i in range(len(rows))] == plain.fill.tolist()
        assert replace(mixed, fill=plain.fill) == replace(plain, fill=plain.fill)

    @EXAMPLES
    @given(rows_of, st.integers(2, 50))
    def test_scaled_prices_and_ticks_scale_the_price(self, rows: list[Row], factor: int) -> None:
        scaled = clear(book([(s, p * factor, q, c) for s, p, q, c in rows], tick=factor))
        plain = clear(book(rows))

        assert scaled.fill.tolist() == plain.fill.tolist()
        assert scaled.price == (None if plain.price is None else plain.price * factor)

    @EXAMPLES
    @given(rows_of, st.tuples(st.integers(1, 30), st.integers(1, 40)))
    def test_one_more_bid_never_lowers_and_one_more_offer_never_raises_the_interval(
        self, rows: list[Row], more: tuple[int, int]
    ) -> None:
        plain = clear(book(rows))
        assume(plain.volume)
        bid, offer = (clear(book([*rows, (side, *more, 9)])) for side in (0, 1))

        assert bid.low >= plain.low and bid.high >= plain.high
        assert offer.low <= plain.low and offer.high <= plain.high

    @EXAMPLES
    @given(rows_of)
    def test_the_checker_accepts_the_result_and_refuses_every_changed_field(self, rows: list[Row]) -> None:
        one = book(rows)
        result = clear(one)
        check(one, result)

        changes = [
            {"price": (result.price or 0) + 1},
            {"low": (result.low or 0) - 1},
            {"high": (result.high or 0) + 1},
            {"volume": result.volume + 1},
            {"welfare": result.welfare + 1},
            {"collar_hit": not result.collar_hit},
        ]
        for place in range(len(rows)):
            for step in (1, -1):
                fill = result.fill.copy()
                fill[place] += step
                changes.append({"fill": fill})
        for change in changes:
            with pytest.raises(Breach):
                check(one, replace(result, **change))

    @EXAMPLES
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(1, 200))
    def test_a_margin_cohort_is_within_one_lot_of_exact_shares(self, wanted: list[int], offered: int) -> None:
        result = clear(book([*((0, 10, q, 0) for q in wanted), (1, 10, offered, 0)]))

        traded = min(sum(wanted), offered)
        for q, fill in zip(wanted, result.fill.tolist(), strict=False):
            assert abs(Fraction(q * traded, sum(wanted)) - fill) < 1
        assert sum(result.fill.tolist()[:-1]) == traded
