"""More choices of the ticket: other hours, vendors, regions, tier, all or nothing."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client

from market import selectors
from market.models import Order
from tests.market.test_pages import HTMX, _public, address, at, signed_in, ticket

HOUR = timedelta(hours=1)
pytestmark = pytest.mark.django_db


@pytest.fixture
def buyer(live_world):
    return live_world.organisation("buyer", yuan=1_000)


@pytest.fixture
def page(live_world, buyer):
    live_world.offer(live_world.organisation("provider"), 1_000, 1_950_000)
    return signed_in(buyer)


def hour(world, number):
    return (world.window + number * HOUR).isoformat()


def chosen(world, **more):
    return ticket(world, hours=[hour(world, 1), hour(world, 3)], vendors=["nvidia"], regions=["cn-east"],
                  tier="verified", all_or_nothing="on", **more)  # fmt: skip


def hidden(text):
    """What the review sends on, as a browser would."""
    found = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text):
        found.setdefault(name, []).append(unescape(value))
    found.pop("csrfmiddlewaretoken", None)
    return found


class TestMoreChoices:
    def test_offers_the_next_hours_and_what_has_cells(self, live_world, page):
        text = page.get(address(live_world), at(live_world)).content.decode()

        hours = re.findall(r'name="hours" value="([^"]+)"', text)
        opened = [start.isoformat() for start, _ in selectors.open_windows(live_world.now)]
        assert hours == [one for one in opened if one != live_world.window.isoformat()][:12]
        assert re.findall(r'name="vendors" value="([^"]+)"', text) == ["nvidia"]
        assert re.findall(r'name="regions" value="([^"]+)"', text) == ["cn-east"]
        assert '<details class="more-choices"><summary>' in text

    def test_leaves_out_vendors_where_there_is_no_cell(self, live_world, page):
        text = page.get("/market/llama-2-7b/", at(live_world)).content.decode()

        assert 'name="hours"' in text
        assert 'name="vendors"' not in text

    def test_reach_the_order_through_preview_and_review(self, live_world, page):
        preview = page.post(address(live_world, "preview/"), chosen(live_world), headers=HTMX).content.decode()
        review = page.post(address(live_world, "review/"), chosen(live_world), headers=HTMX).content.decode()
        placed = page.post(address(live_world, "place/"), hidden(review), headers=HTMX)
        again = page.post(address(live_world, "place/"), hidden(review), headers=HTMX)

        for text in (preview, review):
            assert "not known before" in text
            assert "nothing yet: it waits" not in text
            for words in ("nvidia", "cn-east", "Verified only", "All or nothing"):
                assert f"<dd>{words}</dd>" in text
        order = Order.objects.get(side=0)
        view = selectors.orders_many([order.id])[order.id]
        assert [one.window_start for one in view.choices] == [live_world.window + n * HOUR for n in (0, 1, 3)]
        assert {one.limit_micros for one in view.choices} == {1_800_000}
        assert (view.scope.vendors, view.scope.regions) == ({"nvidia"}, {"cn-east"})
        assert (view.scope.tiers, view.scope.minimum_st) == ({"verified"}, 2_000_000)
        assert _public(order) in placed.content.decode()
        assert _public(order) in again.content.decode()

    def test_make_no_flexible_bid_where_none_is_made(self, live_world, page):
        review = page.post(address(live_world, "review/"), ticket(live_world, tier=""), headers=HTMX).content.decode()
        page.post(address(live_world, "place/"), hidden(review), headers=HTMX)

        order = Order.objects.get(side=0)
        assert "not known before" not in review
        assert not selectors.orders_many([order.id])[order.id].is_flexible

    def test_are_kept_on_the_way_back(self, live_world, page):
        review = page.post(address(live_world, "review/"), chosen(live_world)).content.decode()
        back = unescape(re.search(r'href="(/market/[^"]*\?grade=[^"]*)">Change', review)[1])

        text = page.get(back).content.decode()

        assert '<details class="more-choices" open>' in text
        assert 'value="2"' in text
        for name, value in (("hours", hour(live_world, 3)), ("vendors", "nvidia"), ("regions", "cn-east")):
            assert re.search(rf'name="{name}" value="{re.escape(value)}"[^>]* checked', text)
        assert '<option value="verified" selected>' in text
        assert re.search(r'name="all_or_nothing"[^>]* checked', text)

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"hours": ["2020-01-01T00:00:00+00:00"]}, "One of these hours is over"),
            ({"hours": ["soon"]}, "One of these hours is over"),
            ({"vendors": ["nvidja"]}, "nvidja is not on offer any more"),
            ({"regions": ["<b>"]}, "&lt;b&gt; is not on offer any more"),
            ({"tier": "golden"}, "Select a valid choice"),
        ],
    )
    def test_say_what_does_not_exist(self, live_world, page, more, words):
        answer = page.post(address(live_world, "review/"), ticket(live_world, **more), headers=HTMX)

        text = answer.content.decode()
        assert answer.status_code == 422
        assert words in text
        assert '<details class="more-choices" open>' in text
        assert not Order.objects.filter(side=0).exists()

    def test_hold_each_hour_against_its_own_collar(self, live_world, page, buyer):
        seller = live_world.organisation("provider")
        home, live_world.window = live_world.window, live_world.window + HOUR
        live_world.offer(seller, 1_000, 1_600_000)
        live_world.bid(live_world.organisation("buyer", yuan=10), 1_000, 1_600_000)
        live_world.round()
        live_world.window = home

        sent = ticket(live_world, price="2.30", hours=[hour(live_world, 1)])
        answer = page.post(address(live_world, "review/"), sent, headers=HTMX)

        assert (
            page.post(address(live_world, "review/"), ticket(live_world, price="2.30"), headers=HTMX).status_code == 200
        )
        assert answer.status_code == 422
        assert "In the hour" in answer.content.decode()
        assert 'id="ticket_hours_error"' in answer.content.decode()

    def test_are_for_buyers(self, live_world):
        assert 'name="hours"' not in Client().get(address(live_world), at(live_world)).content.decode()
