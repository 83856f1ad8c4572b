"""The page of one order: the change of an open bid, and what a flexible bid accepts."""

import re
from datetime import timedelta

import pytest

from ledger import selectors as ledger
from market import selectors, services
from market.kernel.orders import Choice, Scope
from market.models import Amendment
from market.services import Change
from tests.market.test_pages import _public, buyer, page, seller, signed_in

__all__ = ["buyer", "page", "seller"]  # fixtures

YUAN = 10**6
HOUR = timedelta(hours=1)
pytestmark = pytest.mark.django_db


def path(order, step=""):
    return f"/orders/{_public(order)}/{step}"


def fields(text):
    """The inputs of the form that changes the order, as a browser would send them."""
    form = re.search(r'<form class="form" method="post" action="[^"]*/amend/.*?</form>', text, re.S)[0]
    found = {}
    for tag in re.findall(r"<input [^>]*>", form):
        name, value = re.search(r'name="([\w-]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name[1] != "csrfmiddlewaretoken":
            found[name[1]] = value[1] if value else ""
    return found


def ask(page, order, **typed):
    """Type into the order's form and look at the change."""
    return page.post(path(order, "amend/"), {**fields(page.get(path(order)).content.decode()), **typed})


class TestChange:
    def test_is_reviewed_and_made_once(self, live_world, buyer, page):
        bid = live_world.bid(buyer, 1_000_000, 1_800_000)

        review = ask(page, bid, price="1.90", quantity="2")
        sent = fields(review.content.decode())
        assert (review.status_code, Amendment.objects.count()) == (200, 0)
        assert "CN¥3.80" in review.content.decode()
        assert "ranks as a new one" in review.content.decode()
        answers = [page.post(path(bid, "amend/"), sent, follow=True) for _ in range(2)]

        after = live_world.order(bid)
        assert (after.limit_micros, after.quantity_st) == (1_900_000, 2_000_000)
        assert ledger.wallet(buyer.organisation_id, "CNY").held_micros == 3_800_000
        assert Amendment.objects.count() == 1
        assert all("The order is changed" in answer.content.decode() for answer in answers)

    def test_is_told_in_the_life_line(self, live_world, buyer, page):
        bid = live_world.bid(buyer, 2_000_000, 1_800_000)
        for change in (Change(quantity_st=1_000_000), Change(limit_micros=1_900_000)):
            services.amending.amend(bid.id, change, actor=buyer, now=live_world.now)

        text = page.get(path(bid)).content.decode()

        assert "Quantity: 2M → 1M ST. It kept its place." in text
        assert "Limit: CN¥1.80 /M ST → CN¥1.90 /M ST. It ranks as a new order." in text
        assert "CN¥3.60" in text  # what was held first

    def test_keeps_what_another_changed_meanwhile(self, live_world, buyer, page):
        bid = live_world.bid(buyer, 1_000_000, 1_800_000)
        shown = fields(page.get(path(bid)).content.decode())
        services.amending.amend(bid.id, Change(limit_micros=1_700_000), actor=buyer, now=live_world.now)

        review = page.post(path(bid, "amend/"), {**shown, "quantity": "0.5"}).content.decode()
        page.post(path(bid, "amend/"), fields(review))

        after = live_world.order(bid)
        assert (after.limit_micros, after.quantity_st) == (1_700_000, 500_000)

    def test_moves_the_end_of_an_order_that_is_good_till_a_time(self, live_world, buyer, page):
        plain = live_world.bid(buyer, 1_000, 1_800_000)
        bid = live_world.bid(
            buyer, 1_000, 1_800_000, time_in_force="gtt", expires_at=live_world.now + timedelta(minutes=10)
        )
        end = (live_world.window + timedelta(minutes=5)).replace(microsecond=0)

        assert "expires" not in fields(page.get(path(plain)).content.decode())
        review = ask(page, bid, expires=f"{end + 8 * HOUR:%Y-%m-%dT%H:%M}").content.decode()
        page.post(path(bid, "amend/"), fields(review))

        assert live_world.order(bid).expires_at == end

    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ({}, "Nothing is changed yet"),
            ({"price": "abc"}, "Write a number"),
            ({"price": "1.805"}, "steps of"),
            ({"price": "5.00"}, "The highest limit taken now"),
            ({"quantity": "0.0005"}, "steps of"),
            ({"quantity": "0.001"}, "1,000 ST are filled already"),
            ({"quantity": ""}, "required"),
        ],
    )
    def test_says_beside_the_field_what_is_wrong(self, live_world, buyer, seller, page, typed, words):
        bid = live_world.bid(buyer, 3_000, 1_900_000)
        live_world.offer(seller, 1_000, 1_900_000)
        live_world.round()

        answer = ask(page, bid, **typed)

        text = answer.content.decode()
        assert answer.status_code == 422
        assert words in text
        for name, value in typed.items():
            assert f'id="amend_{name}_error"' in text
            assert fields(text)[name] == value
        assert not Amendment.objects.exists()

    def test_says_an_end_that_is_past(self, live_world, buyer, page):
        bid = live_world.bid(
            buyer, 1_000, 1_800_000, time_in_force="gtt", expires_at=live_world.now + timedelta(minutes=10)
        )
        for typed in ("2020-01-01T00:00", "soon"):
            answer = ask(page, bid, expires=typed)
            assert answer.status_code == 422
            assert 'id="amend_expires_error"' in answer.content.decode()

    def test_says_that_the_wallet_is_short(self, live_world, buyer, page):
        bid = live_world.bid(buyer, 1_000_000, 1_800_000)

        review = ask(page, bid, quantity="900000")
        placed = page.post(path(bid, "amend/"), fields(review.content.decode()))

        assert "does not cover the worst case" in review.content.decode()
        assert placed.status_code == 422
        assert "does not cover the worst case" in placed.content.decode()

    def test_of_an_ended_order_goes_back_to_its_page(self, live_world, buyer, page):
        bid = live_world.bid(buyer, 1_000_000, 1_800_000)
        sent = fields(ask(page, bid, quantity="2").content.decode())
        services.orders.cancel(bid.id, actor=buyer, now=live_world.now)

        answer = page.post(path(bid, "amend/"), sent, follow=True).content.decode()

        assert "cannot be changed any more" in answer
        assert "Change the order" not in answer

    def test_is_for_the_orders_own_traders(self, live_world, buyer, page):
        bid = live_world.bid(buyer, 1_000_000, 1_800_000)
        sent = fields(ask(page, bid, quantity="2").content.decode())
        viewer, stranger = signed_in(buyer, "viewer"), signed_in(live_world.organisation("buyer"))

        assert "Change the order" not in viewer.get(path(bid)).content.decode()
        assert viewer.post(path(bid, "amend/"), sent).status_code == 403
        assert stranger.post(path(bid, "amend/"), sent).status_code == 404
        assert page.post("/orders/ord_x/amend/", sent).status_code == 404
        assert not Amendment.objects.exists()

    def test_is_not_for_offers(self, live_world, seller):
        offer = live_world.offer(seller, 1_000, 1_900_000)

        assert "Change the order" not in signed_in(seller, "owner").get(path(offer)).content.decode()


class TestFlexibleBid:
    @pytest.fixture
    def bid(self, live_world, buyer, seller):
        live_world.offer(seller, 1_000, 1_950_000)
        choices = (
            Choice(live_world.line, live_world.window, 1_900_000),
            Choice("llama-2-7b", live_world.window + HOUR, 1_700_000),
        )
        scope = Scope(vendors=frozenset({"nvidia"}), tiers=frozenset({"listed", "verified"}), minimum_st=1_000)
        return live_world.bid(buyer, 2_000, 1_900_000, choices=choices, scope=scope)

    def test_says_what_it_accepts(self, bid, page):
        text = page.get(path(bid)).content.decode().split('class="table dense"')[1]

        assert re.search(r"Llama-3-8B.*1\.90.*Llama-2-7B.*1\.70", text, re.S)
        for label, words in (
            ("Vendors", "nvidia"), ("Regions", "Any"), ("Minimum tier", "Listed or verified"),
            ("Minimum quantity", "At least 1,000 ST in a round"),
            ("What happens to prompts", "Nothing kept, no training, mainland"),
        ):  # fmt: skip
            assert f"<dt>{label}</dt><dd>{words}</dd>" in text

    def test_is_cancelled_and_not_changed(self, live_world, bid, page):
        text = page.get(path(bid)).content.decode()
        answer = page.post(path(bid, "amend/"), {"price": "1.80", "quantity": "2", "key": "k"}, follow=True)

        assert "Change the order" not in text
        assert "cancel it, and place another one" in text
        assert "cannot be changed" in answer.content.decode()
        assert selectors.amendments(bid.id) == []
