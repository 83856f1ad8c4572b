"""The reader's own orders on a round's page: banded on the curve, and in words."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from market.web import bands
from tests.market.test_flexible import flexible
from tests.market.test_pages import signed_in

HOUR = timedelta(hours=1)


def chart(text: str) -> dict[str, Any]:
    """What the supply and demand chart of a page draws."""
    found = re.search(r'<script[^>]*type="application/json">(.*?)</script>', text, re.S)
    assert found
    drawn: dict[str, Any] = json.loads(found[1])
    return drawn


def page(actor: Any, number: int) -> str:
    text: str = signed_in(actor).get(f"/rounds/{number}/").content.decode()
    return text


class TestOf:
    STEPS = [(190, 10), (180, 30), (150, 70)]

    def test_gives_the_steps_with_an_own_limit(self) -> None:
        found = [(one.price_micros, one.start_st, one.end_st) for one in bands.of("demand", self.STEPS, {190, 150})]

        assert found == [(190, 0, 10), (150, 30, 70)]

    @pytest.mark.parametrize(
        ("side", "steps", "limit", "price"),
        [
            ("demand", STEPS, 185, 180),
            ("demand", STEPS, 200, 190),
            ("supply", STEPS[::-1], 160, 180),
            ("supply", STEPS[::-1], 140, 150),
        ],
    )
    def test_of_a_thinned_curve_gives_the_step_that_stands_for_it(
        self, side: str, steps: list[tuple[int, int]], limit: int, price: int
    ) -> None:
        assert [one.price_micros for one in bands.of(side, steps, {limit})] == [price]

    def test_gives_a_step_once_and_none_for_nothing(self) -> None:
        assert len(bands.of("demand", self.STEPS, {182, 183, 180})) == 1
        assert bands.of("supply", self.STEPS, set()) == []


@pytest.mark.django_db
class TestRoundPage:
    def test_bands_the_steps_of_ones_own_orders_and_of_nobody_else(self, live_world: Any) -> None:
        buyer, other = (live_world.organisation("buyer", yuan=100) for _ in range(2))
        seller = live_world.organisation("provider")
        live_world.bid(other, 1_000_000, 2_000_000)
        live_world.bid(buyer, 2_000_000, 1_900_000)
        live_world.offer(seller, 2_000_000, 1_700_000)
        number = live_world.round().number

        mine, theirs = page(buyer, number), page(seller, number)

        assert chart(mine)["own"] == [{"side": "demand", "from": "1.00", "to": "3.00", "price": "1.90"}]
        assert "Your own orders stand at CN¥1.90 /M ST." in mine
        assert "Bids 1.90, with your own order" in mine
        assert "Your own bids" in mine and "Your own offers" not in mine
        assert [one["side"] for one in chart(theirs)["own"]] == ["supply"]
        assert "Offers 1.70, with your own order" in theirs
        stranger = page(live_world.organisation("buyer"), number)
        assert chart(stranger)["own"] == []
        assert "Your orders in this round" not in stranger and "own order" not in stranger

    def test_draws_the_product_in_which_the_reader_has_orders(self, live_world: Any) -> None:
        buyer, other = (live_world.organisation("buyer", yuan=100) for _ in range(2))
        seller = live_world.organisation("provider")
        live_world.bid(other, 3_000_000, 1_900_000)
        live_world.offer(seller, 3_000_000, 1_700_000)
        live_world.window += HOUR
        live_world.bid(buyer, 1_000_000, 1_800_000)
        live_world.offer(seller, 1_000_000, 1_800_000)
        number = live_world.round().number

        assert chart(page(buyer, number))["clearing"]["quantity"] == "1.00"
        assert chart(page(other, number))["clearing"]["quantity"] == "3.00"

    def test_lists_a_bid_over_several_hours_where_it_filled(self, live_world: Any) -> None:
        buyer, seller = live_world.organisation("buyer", yuan=100), live_world.organisation("provider")
        flexible(live_world, buyer, 4_000, {0: 1_900_000, 1: 1_800_000})
        live_world.window += HOUR
        live_world.offer(seller, 3_000, 1_700_000)
        number = live_world.round().number

        text = page(buyer, number)

        table = text.split("Your orders in this round")[1].split("</table>")[0]
        assert re.findall(r'<td class="num[^"]*">([^<]*)<|title="([^"]+)"', table)
        assert "1.80" in table and "1.90" not in table
        assert "<figure" not in text  # bids that may trade elsewhere stand on no single curve
