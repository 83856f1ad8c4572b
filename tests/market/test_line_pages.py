"""The page of a line: its cheapest hours ahead."""

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client

from market import selectors, services
from market.web import figures
from tests.market.conftest import TERMS
from tests.market.test_flexible import _draft
from tests.market.test_pages import HTMX, address, at

HOUR = timedelta(hours=1)
pytestmark = pytest.mark.django_db


@pytest.fixture
def seller(live_world):
    return live_world.organisation("provider")


def offer_in(world, seller, number, price):
    """An offer in the hour `number` hours after the world's own."""
    keep, world.window = world.window, world.window + number * HOUR
    try:
        world.offer(seller, 1_000, price)
    finally:
        world.window = keep


def cheapest(text):
    """(address, price, what it is) of each row."""
    if "Cheapest hours ahead" not in text:
        return []
    table = text.split("Cheapest hours ahead")[1].split("</table>")[0]
    row = r'<a href="([^"]+)">.*?<b>([^<]+)</b></span></td><td>([^<]+)</td>'
    return [(unescape(href), price, what) for href, price, what in re.findall(row, table, re.S)]


class TestCheapestHours:
    def test_stand_in_order_of_price_with_a_link(self, live_world, seller):
        for number, price in ((0, 1_900_000), (2, 1_700_000), (5, 1_800_000), (2, 1_950_000)):
            offer_in(live_world, seller, number, price)

        text = Client().get(address(live_world), at(live_world)).content.decode()

        found = cheapest(text)
        assert [(price, what) for _, price, what in found] == [
            ("1.70", "Best offer"), ("1.80", "Best offer"), ("1.90", "Best offer"),
        ]  # fmt: skip
        there = Client().get(found[0][0]).content.decode()
        assert f'value="{(live_world.window + 2 * HOUR).isoformat()}" checked' in there
        assert text.count("shown here") == 1

    def test_have_bars_as_long_as_their_price(self, live_world, seller):
        for number, price in ((0, 2_000_000), (2, 1_700_000)):
            offer_in(live_world, seller, number, price)

        text = Client().get(address(live_world), at(live_world)).content.decode()

        table = text.split("Cheapest hours ahead")[1].split("</table>")[0]
        assert re.findall(r'<rect width="(\d+)%"', table) == ["85", "100"]

    def test_say_where_only_a_last_price_is_known(self, live_world, seller):
        live_world.bid(live_world.organisation("buyer", yuan=10), 1_000, 1_900_000)
        offer_in(live_world, seller, 0, 1_900_000)
        live_world.round()
        offer_in(live_world, seller, 1, 1_950_000)

        text = Client().get(address(live_world), at(live_world)).content.decode()

        assert [(price, what) for _, price, what in cheapest(text)] == [
            ("1.90", "Last price, nothing on offer"), ("1.95", "Best offer"),
        ]  # fmt: skip

    def test_leave_out_what_the_ladder_leaves_out(self, live_world, seller):
        live_world.offer(
            seller, 1_000, 1_900_000, supply_id=live_world.supply(seller, 2_000, rate=1)
        )  # an hour: 3,000 ST
        used = live_world.supply(seller, 8_000, rate=1)
        live_world.offer(seller, 3_000, 1_700_000, supply_id=used)
        live_world.offer(seller, 1_000, 1_600_000, supply_id=used)  # beyond what the rate allows
        found = selectors.products(live_world.line, live_world.now, grade=live_world.grade)

        best = selectors.best_offers(found, now=live_world.now)

        product = selectors.product_at(live_world.line, live_world.grade, live_world.window)
        assert best == {product.id: 1_700_000}
        assert selectors.depth(product, now=live_world.now).best_offer_micros == 1_700_000

    def test_leave_out_what_keeps_prompts(self, live_world, seller):
        supply = services.supply.declare(
            replace(_draft(live_world, seller, 1_000), terms=replace(TERMS, data_terms="retention-30d")),
            now=live_world.now,
        )
        live_world.offer(seller, 1_000, 1_600_000, supply_id=supply)
        live_world.offer(seller, 1_000, 1_900_000)
        product = selectors.product_at(live_world.line, live_world.grade, live_world.window)

        assert selectors.best_offers([product], now=live_world.now) == {product.id: 1_900_000}
        assert selectors.depth(product, now=live_world.now).best_offer_micros == 1_900_000

    def test_are_few_and_come_anew_with_each_round(self, live_world, seller):
        for number in range(12):
            offer_in(live_world, seller, number, 1_600_000 + number * 10_000)

        answer = Client().get(address(live_world, "live/"), at(live_world), headers=HTMX)

        assert len(cheapest(answer.content.decode())) == figures.CHEAPEST

    def test_are_left_out_before_any_price(self, live_world):
        assert cheapest(Client().get(address(live_world), at(live_world)).content.decode()) == []
