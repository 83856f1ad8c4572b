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


class TestLimit:
    def test_proposed_from_a_mean_of_prices_stands_on_the_tick(self, live_world, buyer):
        page, seller = signed_in(buyer), live_world.organisation("provider")
        for quantity, price in ((1_000, 1_900_000), (2_000, 1_910_000)):
            live_world.bid(buyer, quantity, price)
            live_world.offer(seller, quantity, price)
            live_world.round()

        text = page.get(address(live_world), at(live_world)).content.decode()

        assert re.search(r'name="price" value="([^"]*)"', text)[1] == "1.90"  # the mean is 1.906666
        refused = page.post(address(live_world, "review/"), ticket(live_world, price="1.906666"))
        assert refused.status_code == 422


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
            assert "nothing yet: it waits" in text  # no offer stands in a verified cell
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
        assert "In any of these hours" not in review
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
            ({"data_terms": "whatever"}, "Select a valid choice"),
            ({"least": "some"}, "Write a number"),
            ({"least": "1", "all_or_nothing": "on"}, "Leave this empty"),
            ({"least": "3"}, "is at most the quantity"),
            ({"least": "0.0005"}, "steps of 1,000 ST"),
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

    def test_tell_the_fill_of_each_hour(self, live_world, page):
        home, live_world.window = live_world.window, live_world.window + HOUR
        live_world.offer(live_world.organisation("provider"), 1_000_000, 1_700_000)
        live_world.window = home
        live_world.offer(live_world.organisation("provider"), 5_000_000, 1_750_000)

        sent = ticket(live_world, hours=[hour(live_world, 1)])
        text = page.post(address(live_world, "preview/"), sent, headers=HTMX).content.decode()

        assert re.search(r"Would fill now</dt><dd>.*2M", text)
        assert "on average at" in text
        assert text.count('class="part"') == 2
        assert "vendors&#x27; list price" in text or "vendors' list price" in text
        assert "price list" in text

    def test_say_where_it_is_too_much_to_tell(self, live_world, page, monkeypatch):
        monkeypatch.setattr("market.services.expecting.MOST_ORDERS", 0)
        sent = ticket(live_world, hours=[hour(live_world, 1)])
        text = page.post(address(live_world, "preview/"), sent, headers=HTMX).content.decode()
        assert "too many orders clear together" in text

    def test_reach_the_order_with_grades_terms_and_a_minimum(self, live_world, page):
        sent = ticket(live_world, grade="batch", or_better="on", data_terms="retention-30d", least="1.5")
        review = page.post(address(live_world, "review/"), sent, headers=HTMX).content.decode()
        page.post(address(live_world, "place/"), hidden(review), headers=HTMX)

        order = Order.objects.get(side=0)
        view = selectors.orders_many([order.id])[order.id]
        assert {one.grade for one in view.choices} == {"", "interactive", "realtime"}
        assert (view.grade, view.scope.minimum_st) == ("batch", 1_500_000)
        assert view.scope.data_terms == {"no-retention", "retention-30d"}
        for text in (review, page.get(f"/orders/{_public(order)}/").content.decode()):
            for words in ("Real time", "Interactive", "Kept up to 30 days", "At least 1,500,000 ST"):
                assert words in text
        assert "It takes better grades too" in text

    def test_better_grades_are_asked_where_there_are_some(self, live_world, page):
        text = page.get(address(live_world), {**at(live_world), "grade": "realtime"}).content.decode()
        assert 'name="or_better"' not in text
        assert 'name="or_better"' in page.get(address(live_world), at(live_world)).content.decode()

    @pytest.mark.parametrize(
        ("sent", "field", "value"),
        [({"price": "1.805"}, "price", "1.80"), ({"quantity": "0.0016"}, "quantity", "0.002")],
    )
    def test_propose_the_nearest_legal_value(self, live_world, page, sent, field, value):
        answer = page.post(address(live_world, "review/"), ticket(live_world, **sent), headers=HTMX)
        assert answer.status_code == 422
        assert f'data-fill="ticket_{field}" data-value="{value}"' in answer.content.decode()

    def test_are_for_buyers(self, live_world):
        assert 'name="hours"' not in Client().get(address(live_world), at(live_world)).content.decode()
