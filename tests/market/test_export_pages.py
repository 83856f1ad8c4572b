"""The list of orders as a file."""

import csv
import io

import pytest
from django.test import Client

from accounts.kernel import ids
from market import selectors, services
from market.kernel.orders import Choice, Scope
from market.web import exports
from tests.market.test_pages import _public, signed_in

pytestmark = pytest.mark.django_db
FILE = "/orders/export.csv"


@pytest.fixture
def buyer(live_world):
    return live_world.organisation("buyer", yuan=1_000)


@pytest.fixture
def page(buyer):
    return signed_in(buyer)


def rows(answer):
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


class TestFile:
    def test_says_all_of_an_order_exactly(self, live_world, buyer, page):
        bid = live_world.bid(buyer, 3_000_000, 1_900_000)
        live_world.offer(live_world.organisation("provider"), 1_234_000, 1_870_000)
        live_world.round()
        view = live_world.order(bid)

        answer = page.get(FILE)

        (row,) = rows(answer)
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert answer["Content-Disposition"] == 'attachment; filename="orders.csv"'
        assert (row["id"], row["status"], row["currency"]) == (_public(bid), "partially_filled", "CNY")
        assert (row["quantity_st"], row["filled_st"], row["left_st"]) == ("3000000", "1234000", "1766000")
        assert row["price_per_million"] == "1.90"
        assert row["paid"] == exports.price_text(view.average_micros * 1_234_000 // 10**6)
        assert row["window_start"] == live_world.window.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert row["ended_at"] == ""
        assert answer.content.startswith(b"\xef\xbb\xbfid,side,line,")

    def test_has_what_a_flexible_bid_accepts(self, live_world, buyer, page):
        choices = (
            Choice(live_world.line, live_world.window, 1_900_000),
            Choice("llama-2-7b", live_world.window, 1_800_000),
        )
        live_world.bid(buyer, 2_000, 1_900_000, choices=choices, scope=Scope(minimum_st=1_000))

        (row,) = rows(page.get(FILE))

        start = live_world.window.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert row["choices"] == f"llama-2-7b {start} 1.80; llama-3-8b {start} 1.90"
        assert (row["min_quantity_st"], row["vendors"]) == ("1000", "")

    def test_has_no_formulas(self, live_world, buyer, page):
        for name in ("=1+1", "+1", "-1", "@x"):
            live_world.bid(buyer, 1_000, 1_900_000, client_order_id=name)

        assert {row["client_order_id"] for row in rows(page.get(FILE))} == {"'=1+1", "'+1", "'-1", "'@x"}

    def test_follows_the_filters_and_has_all_pages(self, live_world, buyer, page, monkeypatch):
        monkeypatch.setattr(exports, "_AT_ONCE", 20)
        draft = services.OrderDraft(
            buyer.organisation_id, "buy", live_world.line, live_world.grade, live_world.window, 1_000, 1_900_000
        )
        placed = services.orders.place_many([draft] * 60, actor=buyer, now=live_world.now)
        services.orders.cancel(placed[0].id, actor=buyer, now=live_world.now)

        whole = [row["id"] for row in rows(page.get(FILE, {"cursor": _public(placed[9])}))]
        assert whole == [ids.encode("ord", one.id) for one in selectors.orders(buyer, limit=100)]
        assert len(rows(page.get(FILE, {"status": "open"}))) == 59
        assert [row["id"] for row in rows(page.get(FILE, {"status": "cancelled"}))] == [_public(placed[0])]
        assert rows(page.get(FILE, {"line": "llama-2-7b"})) == []
        assert len(rows(page.get(FILE, {"status": "nonsense"}))) == 60

    def test_ends_at_its_bound_and_the_page_says_so(self, live_world, buyer, page, monkeypatch):
        monkeypatch.setattr(exports, "_AT_ONCE", 2)
        monkeypatch.setattr(exports, "MOST", 3)
        bids = [live_world.bid(buyer, 1_000, 1_900_000) for _ in range(4)]

        assert [row["id"] for row in rows(page.get(FILE))] == [_public(one) for one in bids[:0:-1]]
        assert "CSV of the newest 3" in page.get("/orders/").content.decode()

    def test_is_linked_with_the_filters(self, live_world, buyer, page):
        live_world.bid(buyer, 1_000, 1_900_000)

        text = page.get("/orders/", {"status": "open", "line": live_world.line}).content.decode()

        assert f'href="{FILE}?status=open&amp;line={live_world.line}"' in text
        assert FILE not in page.get("/orders/", {"status": "filled"}).content.decode()

    def test_is_the_organisations_own(self, live_world, buyer):
        live_world.bid(buyer, 1_000, 1_900_000)

        assert rows(signed_in(live_world.organisation("buyer")).get(FILE)) == []
        assert Client().get(FILE).status_code == 302
