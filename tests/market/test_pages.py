"""Pages of the market: what each kind of reader sees, and the ticket's three steps."""

import re

import pytest
from django.test import Client

from accounts.models import User
from accounts.services import members
from market import selectors, services
from market.models import Market, Order

YUAN = 10**6
pytestmark = pytest.mark.django_db
HTMX = {"hx-request": "true"}


def signed_in(actor, role="trader", *, language="en"):
    user_id = members.add(
        organisation_id=actor.organisation_id, email=f"{actor.organisation_id}@{role}.example", role=role, now=None or _now()
    )  # fmt: skip
    client = Client(headers={"accept-language": language})
    client.force_login(User.objects.get(id=user_id))
    return client


def _now():
    from accounts.selectors import clock

    return clock.now()


@pytest.fixture
def buyer(live_world):
    return live_world.organisation("buyer", yuan=1_000)


@pytest.fixture
def seller(live_world):
    return live_world.organisation("provider")


@pytest.fixture
def page(buyer):
    return signed_in(buyer)


def address(world, step=""):
    return f"/market/{world.line}/{step}"


def at(world):
    return {"grade": world.grade, "window": world.window.isoformat()}


def ticket(world, **changes):
    return {**at(world), "price": "1.80", "quantity": "2", "unit": "mst", "validity": "gtc", **changes}


class TestMarket:
    def test_is_open_to_everybody(self, live_world, seller):
        live_world.offer(seller, 3_000, 1_900_000)

        index, line = Client().get("/market/"), Client().get(address(live_world), at(live_world))

        assert (index.status_code, line.status_code) == (200, 200)
        assert "Llama-3-8B" in index.content.decode()
        text = line.content.decode()
        assert "1.90" in text
        assert "Sign in to bid" in text

    def test_shows_prices_of_tokens_beside_the_dated_list_price(self, live_world, buyer, seller, page):
        live_world.bid(buyer, 1_000, 1_900_000)
        live_world.offer(seller, 2_000, 1_900_000)
        live_world.round()

        text = page.get(address(live_world), at(live_world)).content.decode()

        line = selectors.line(live_world.line)
        prices = line.token_prices(1_900_000)
        for micros in (prices.input_micros, prices.cached_micros, prices.output_micros):
            assert f"{micros // YUAN}.{micros % YUAN:06d}".rstrip("0")[:4] in text
        assert "price list, since 2020-01-01" in text
        assert "round 1" in text
        assert 'data-chart="supply-demand"' in text
        assert 'data-chart="price-volume"' in text

    def test_never_names_the_others(self, live_world, buyer, seller, page):
        bid = live_world.bid(buyer, 1_000, 1_900_000)
        live_world.offer(seller, 2_000, 1_900_000)
        live_world.round()

        for path in (address(live_world), "/market/", "/rounds/1/", f"/orders/{_public(bid)}/"):
            text = page.get(path, at(live_world) if path.endswith("8b/") else {}).content.decode()
            assert seller.organisation_name not in text
            assert str(seller.organisation_id) not in text

    def test_marks_the_readers_own_level_only_for_the_reader(self, live_world, buyer, page):
        live_world.bid(buyer, 1_000, 1_900_000)
        stranger = signed_in(live_world.organisation("buyer"))

        assert "with your own order" in page.get(address(live_world), at(live_world)).content.decode()
        assert "with your own order" not in stranger.get(address(live_world), at(live_world)).content.decode()

    def test_is_404_for_what_is_not_there(self, live_world, page):
        for path in ("/market/nothing/", "/rounds/99/", "/rounds/x/", "/orders/ord_x/"):
            assert page.get(path).status_code == 404, path

    def test_falls_back_to_the_current_hour_on_a_strange_address(self, live_world):
        for window in ("", "soon", "2020-01-01T00:00:00Z", "9999-99-99", "2026-11-24"):
            assert Client().get(address(live_world), {"window": window, "grade": "gold"}).status_code == 200

    def test_refreshes_by_a_fragment(self, live_world, page):
        answer = page.get(address(live_world, "live/"), at(live_world), headers=HTMX)

        text = answer.content.decode()
        assert answer.status_code == 200
        assert "<html" not in text
        assert 'hx-swap-oob="innerHTML"' in text

    def test_says_that_it_is_halted(self, live_world, buyer):
        services.markets.halt(live_world.market_id, reason="drill", actor=buyer, now=live_world.now)

        assert "The market is halted" in Client().get("/market/").content.decode()

    def test_speaks_chinese(self, live_world, buyer):
        text = signed_in(buyer, language="zh-hans").get(address(live_world), at(live_world)).content.decode()

        assert 'lang="zh-Hans"' in text
        assert "百万" in text

    def test_before_it_is_set_up_says_so(self, db):
        assert Client().get("/market/").status_code == 200
        assert Client().get("/rounds/").status_code == 200
        assert Client().get("/market/any/").status_code == 404


class TestTicket:
    def test_previews_reviews_places_and_shows_the_receipt(self, live_world, page):
        preview = page.post(address(live_world, "preview/"), ticket(live_world), headers=HTMX).content.decode()
        assert "2,000,000 ST" in preview
        assert "3.60" in preview
        assert not Order.objects.exists()

        review = page.post(address(live_world, "review/"), ticket(live_world), headers=HTMX).content.decode()
        assert "Place the bid" in review
        assert not Order.objects.exists()

        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', review))
        form.pop("csrfmiddlewaretoken", None)
        receipt = page.post(address(live_world, "place/"), form, headers=HTMX).content.decode()
        again = page.post(address(live_world, "place/"), form, headers=HTMX).content.decode()

        order = Order.objects.get()
        assert (order.quantity_st, order.limit_micros) == (2_000_000, 1_800_000)
        assert _public(order) in receipt
        assert _public(order) in again

    def test_takes_a_budget(self, live_world, page):
        text = page.post(
            address(live_world, "preview/"), ticket(live_world, quantity="10", unit="yuan"), headers=HTMX
        ).content.decode()

        assert "5,555,000 ST" in text

    def test_offers_a_legal_value_outside_the_collar(self, live_world, page):
        answer = page.post(address(live_world, "review/"), ticket(live_world, price="5.00"), headers=HTMX)

        text = answer.content.decode()
        assert answer.status_code == 422
        assert 'data-value="2.40"' in text
        assert 'value="5.00"' in text

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"price": "abc"}, "Write a number"),
            ({"price": "1.805"}, "steps of"),
            ({"quantity": ""}, "required"),
            ({"quantity": "0.0005"}, "steps of"),
            ({"quantity": "0.0001", "unit": "yuan"}, "does not pay for one lot"),
            ({"quantity": "1e9"}, "Write a number"),
            ({"window": "2020-01-01T00:00:00Z"}, "This hour is over"),
            ({"validity": "for ever"}, "Select a valid choice"),
        ],
    )
    def test_says_what_to_change_and_keeps_what_was_typed(self, live_world, page, changes, words):
        answer = page.post(address(live_world, "review/"), ticket(live_world, **changes), headers=HTMX)

        assert answer.status_code == 422
        assert words in answer.content.decode()
        assert not Order.objects.exists()

    def test_says_that_the_wallet_is_short(self, live_world, page):
        text = page.post(address(live_world, "review/"), ticket(live_world, quantity="900000"), headers=HTMX)
        placed = page.post(address(live_world, "place/"), ticket(live_world, quantity="900000"), headers=HTMX)

        assert "does not cover the worst case" in text.content.decode()
        assert placed.status_code == 422
        assert "does not cover the worst case" in placed.content.decode()

    def test_works_without_scripts(self, live_world, page):
        text = page.post(address(live_world, "review/"), ticket(live_world)).content.decode()

        assert "<html" in text
        assert "Place the bid" in text

    def test_is_for_traders_of_buyers(self, live_world, buyer, seller):
        viewer, provider = signed_in(buyer, "viewer"), signed_in(seller, "owner")

        assert viewer.post(address(live_world, "place/"), ticket(live_world)).status_code == 403
        assert provider.post(address(live_world, "place/"), ticket(live_world)).status_code == 404
        assert "You may look, not bid" in viewer.get(address(live_world), at(live_world)).content.decode()
        assert Client().post(address(live_world, "place/"), ticket(live_world)).status_code == 302
        assert not Order.objects.exists()


class TestOrders:
    def test_are_empty_at_first(self, live_world, page):
        assert "No orders yet" in page.get("/orders/").content.decode()

    def test_list_with_filters(self, live_world, buyer, page):
        live_world.bid(buyer, 1_000, 1_900_000)

        assert "Cancel 1 open order" in page.get("/orders/").content.decode()
        assert "0 of 1 match" in page.get("/orders/", {"status": "filled"}).content.decode()
        assert page.get("/orders/", {"status": "nonsense", "cursor": "x"}).status_code == 200

    def test_page_by_page(self, live_world, buyer, page):
        draft = services.OrderDraft(
            buyer.organisation_id, "buy", live_world.line, live_world.grade, live_world.window, 1_000, 1_900_000
        )
        services.orders.place_many([draft] * 51, actor=buyer, now=live_world.now)

        first = page.get("/orders/").content.decode()
        cursor = re.search(r'rel="next" href="([^"]*cursor=[^"]*)"', first)
        second = page.get(f"/orders/{cursor[1]}").content.decode()

        assert first.count('<th scope="row">') == 50
        assert second.count('<th scope="row">') == 1

    def test_tell_their_life(self, live_world, buyer, seller, page):
        bid = live_world.bid(buyer, 3_000, 1_900_000)
        live_world.offer(seller, 1_000, 1_900_000)
        live_world.round()

        text = page.get(f"/orders/{_public(bid)}/").content.decode()

        assert "Round 1: 1,000 ST" in text
        assert "Waits for the next round" in text
        assert "Cancel the rest" in text

    def test_of_others_are_not_found_and_cannot_be_cancelled(self, live_world, buyer):
        bid = live_world.bid(buyer, 1_000, 1_900_000)
        stranger = signed_in(live_world.organisation("buyer"))

        assert stranger.get(f"/orders/{_public(bid)}/").status_code == 404
        assert stranger.post(f"/orders/{_public(bid)}/cancel/").status_code == 404
        stranger.post("/orders/cancel/")
        assert live_world.order(bid).is_open

    def test_are_cancelled_one_by_one_and_all_at_once(self, live_world, buyer, page):
        bids = [live_world.bid(buyer, 1_000, 1_900_000) for _ in range(3)]

        one = page.post(f"/orders/{_public(bids[0])}/cancel/", follow=True).content.decode()
        rest = page.post("/orders/cancel/", follow=True).content.decode()

        assert "The order is cancelled" in one
        assert "2 orders are cancelled." in rest

    def test_may_be_seen_but_not_cancelled_by_a_viewer(self, live_world, buyer):
        bid = live_world.bid(buyer, 1_000, 1_900_000)
        viewer = signed_in(buyer, "viewer")

        assert "Cancel" not in re.sub(r"<nav.*?</nav>", "", viewer.get("/orders/").content.decode(), flags=re.S).split(
            "<main"
        )[1].split("</main")[0].replace("Cancelled", "")
        assert viewer.post(f"/orders/{_public(bid)}/cancel/").status_code == 403
        assert live_world.order(bid).is_open


class TestRound:
    def test_shows_how_a_price_was_made(self, live_world, buyer, seller):
        live_world.bid(buyer, 1_000, 2_000_000)
        live_world.offer(seller, 2_000, 1_800_000)
        live_world.round()

        text = Client().get("/rounds/1/").content.decode()
        view = selectors.round(1, market_id=live_world.market_id)

        assert "How this price was made" in text
        assert view.seed in text
        assert view.root in text
        assert view.commitment in text

    def test_says_so_when_nothing_traded(self, live_world):
        live_world.round()

        assert "Nothing traded in this round" in Client().get("/rounds/1/").content.decode()

    def test_hides_a_private_line_from_others(self, live_world, seller):
        owner = live_world.organisation("buyer", yuan=10)
        services.catalogue.add_line(
            slug="own", publisher="Us", model="own", display_name="Secret Sauce", card_name="llama-3-8b",
            card_format="fp16", context_limit=8_192, reference_context=2_048, tokenizer="bytes", now=live_world.now,
            owner_id=owner.organisation_id,
        )  # fmt: skip

        assert "Secret Sauce" not in Client().get("/market/").content.decode()
        assert Client().get("/market/own/").status_code == 404
        assert "Secret Sauce" in signed_in(owner).get("/market/").content.decode()


def _public(order):
    from accounts.kernel import ids

    return ids.encode("ord", order.id)


class TestAdministration:
    @pytest.fixture
    def staff(self, live_world):
        members.add(
            organisation_id=live_world.operator, email="staff@example.com", role="owner", now=_now(), is_staff=True
        )
        client = Client()
        client.force_login(User.objects.get(email="staff@example.com"))
        return client

    def test_reads_everything_and_never_shows_the_open_seed(self, live_world, buyer, staff):
        order = live_world.bid(buyer, 1_000, 1_900_000)
        seed = bytes(Market.objects.get().seed)

        paths = ["market/", f"market/{live_world.market_id}/change/", "modelline/", "listprice/", "listprice/add/",
                 "round/", "order/", f"order/{order.id}/change/"]  # fmt: skip
        for path in paths:
            answer = staff.get(f"/admin/market/{path}")
            assert answer.status_code == 200, path
            assert seed.hex() not in answer.content.decode()

    def test_halts_and_resumes(self, live_world, staff):
        for action, state in (("halt", "halted"), ("resume", "open")):
            staff.post("/admin/market/market/", {"action": action, "_selected_action": str(live_world.market_id)})
            assert selectors.the_market().state == state

    def test_is_for_staff_only(self, live_world, page):
        assert page.get("/admin/market/market/").status_code == 302
