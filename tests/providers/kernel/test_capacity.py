"""Never beyond the rated capacity, however plans overlap and withdraw."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from providers.kernel.capacity import declared_rate, held_after_withdrawal, offer_rate, offered_st, seconds_left
from providers.kernel.pricing import limit_micros

START = datetime(2026, 11, 24, 9, tzinfo=UTC)
END = START + timedelta(hours=1)

rates = st.integers(1, 10**6)
shares = st.integers(1, 10_000)
lots = st.sampled_from([1, 100, 1_000])


class TestOffers:
    @given(rates, shares, st.lists(shares, max_size=12), st.integers(0, 3600), lots)
    def test_together_never_pass_the_rated_capacity(
        self, rated: int, share: int, plans: list[int], seconds: int, lot: int
    ) -> None:
        declared = declared_rate(rated, share)
        taken: list[int] = []
        for plan in plans:
            taken.append(offer_rate(declared, plan, taken))

        offered = [offered_st(rate, seconds, lot) for rate in taken]

        assert sum(offered) * 10_000 <= rated * share * seconds
        assert all(quantity % lot == 0 and quantity >= 0 for quantity in offered)

    @given(
        rates,
        st.lists(st.tuples(shares, st.integers(0, 3599), st.integers(0, 3599), st.integers(0, 10_000)), max_size=12),
        lots,
    )
    def test_never_promise_more_than_can_be_done_from_any_second_on(
        self, rated: int, plans: list[tuple[int, int, int, int]], lot: int
    ) -> None:
        """Posted at one second, sold in part and withdrawn at a later one; others are posted in between."""
        events = sorted(
            [(min(a, b), 0, n) for n, (_, a, b, _) in enumerate(plans)]
            + [(max(a, b), 1, n) for n, (_, a, b, _) in enumerate(plans)]
        )
        held: dict[int, int] = {}
        sold: dict[int, int] = {}
        for second, withdraws, n in events:
            left = 3600 - second
            if withdraws:
                sold[n] = offered_st(held[n], left, lot) * plans[n][3] // 10_000 // lot * lot  # as the freeze bounds it
                held[n] = held_after_withdrawal(held[n], sold[n], left)
            else:
                held[n] = offer_rate(rated, plans[n][0], held.values())
            assert all(quantity <= held[k] * left for k, quantity in sold.items() if k == n)
            assert sum(held.values()) <= rated

    def test_take_the_whole_rate_when_alone(self) -> None:
        assert offer_rate(declared_rate(3_000, 10_000), 10_000, []) == 3_000
        assert offered_st(3_000, 3_600, 1_000) == 10_800_000

    def test_get_what_is_left_when_others_came_first(self) -> None:
        assert offer_rate(1_000, 10_000, [700]) == 300
        assert offer_rate(1_000, 5_000, [1_000]) == 0


class TestSecondsLeft:
    def test_is_the_whole_window_before_it_opens_and_nothing_after_it(self) -> None:
        assert seconds_left(START - timedelta(days=3), START, END) == 3_600
        assert seconds_left(START + timedelta(seconds=10.5), START, END) == 3_589
        assert seconds_left(END, START, END) == 0
        assert seconds_left(END + timedelta(seconds=1), START, END) == 0


class TestLimit:
    def test_is_the_discounted_list_price_rounded_down_to_the_tick(self) -> None:
        assert limit_micros(3_330_000, 3_500, 10_000, 10_000) == 2_160_000  # 2.1645

    def test_is_the_floor_where_the_discount_goes_below_it(self) -> None:
        assert limit_micros(3_000_000, 9_000, 1_000_000, 10_000) == 1_000_000

    def test_is_the_floor_without_a_list_price(self) -> None:
        assert limit_micros(None, 3_000, 1_000_000, 10_000) == 1_000_000

    @given(st.integers(1, 10**10), st.integers(0, 9_999), st.integers(1, 10**5), st.sampled_from([1, 10_000]))
    def test_never_is_below_the_floor_nor_off_the_tick(
        self, listed: int, discount: int, floor_ticks: int, tick: int
    ) -> None:
        limit = limit_micros(listed, discount, floor_ticks * tick, tick)

        assert limit >= floor_ticks * tick and limit % tick == 0
        assert limit <= max(floor_ticks * tick, listed)
