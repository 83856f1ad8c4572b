"""The market over REST."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client

from accounts.kernel import ids
from accounts.selectors import clock
from accounts.services import keys
from market import selectors, services
from market.models import Order

YUAN = 10**6
pytestmark = pytest.mark.django_db
ORDERS = "/api/v1/orders"


def client_of(actor, *scopes):
    made = keys.create(actor=actor, name="bot", scopes=scopes or ["market:read", "orders:read", "orders:write"],
                       now=clock.now())  # fmt: skip
    return Client(headers={"authorization": f"Bearer {made.secret}"})


@pytest.fixture
def buyer(live_world):
    return live_world.organisation("buyer", yuan=1_000)


@pytest.fixture
def seller(live_world):
    return live_world.organisation("provider")


@pytest.fixture
def api(buyer):
    return client_of(buyer)


def body(world, **changes):
    plain = {
        "side": "buy", "line": world.line, "grade": world.grade, "window_start": world.window.isoformat(),
        "quantity_st": "2000000", "price_per_million": "1.80",
    }  # fmt: skip
    return {name: value for name, value in {**plain, **changes}.items() if value is not None}


def place(api, world, *, key=None, **changes):
    return api.post(
        ORDERS, body(world, **changes), content_type="application/json", headers={"idempotency-key": key or uuid4().hex}
    )


class TestPlace:
    def test_answers_with_the_order(self, api, live_world):
        answer = place(api, live_world, client_order_id="mine")

        assert answer.status_code == 201
        order = answer.json()
        assert order["id"].startswith("ord_")
        assert (order["status"], order["held"], order["paid"]) == ("open", "3.60", "0.00")
        assert (order["price_per_million"], order["quantity_st"], order["left_st"]) == ("1.80", "2000000", "2000000")
        assert order["client_order_id"] == "mine"
        assert api.get(f"{ORDERS}/{order['id']}").json() == order

    def test_takes_the_current_hour_without_a_window(self, api, live_world):
        order = place(api, live_world, window_start=None, time_in_force="gtt", expires_in_seconds=120).json()

        assert order["window_start"] == selectors.open_windows(clock.now())[0][0].isoformat().replace("+00:00", "Z")

    def test_twice_with_one_key_is_one_order(self, api, live_world):
        first, again = place(api, live_world, key="k"), place(api, live_world, key="k")

        assert first.json() == again.json()
        assert (again.status_code, again["Idempotency-Replayed"]) == (201, "true")
        assert Order.objects.count() == 1

    def test_with_the_key_of_another_request_is_refused(self, api, live_world):
        place(api, live_world, key="k")

        answer = place(api, live_world, key="k", quantity_st="1000")

        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_payload_differs")

    def test_without_a_key_is_refused(self, api, live_world):
        answer = api.post(ORDERS, body(live_world), content_type="application/json")

        assert answer.status_code == 400
        assert not Order.objects.exists()

    @pytest.mark.parametrize(
        ("changes", "status", "code"),
        [
            ({"quantity_st": "1500"}, 422, "off_lot"),
            ({"quantity_st": "0"}, 422, "off_lot"),
            ({"price_per_million": "1.805"}, 422, "off_tick"),
            ({"price_per_million": "9.00"}, 422, "outside_collar"),
            ({"line": "nothing"}, 422, "unknown_line"),
            ({"grade": "gold"}, 422, "unknown_grade"),
            ({"window_start": "2020-01-01T00:00:00Z"}, 422, "window_closed"),
            ({"window_start": "9999-12-31T23:00:00Z"}, 422, "unknown_window"),
            ({"window_start": "2099-01-01T00:00:00Z"}, 422, "unknown_window"),
            ({"quantity_st": "999999000"}, 402, "insufficient_funds"),
            ({"time_in_force": "gtt"}, 422, "bad_expiry"),
            ({"side": "sell"}, 400, "not_supported"),
            ({"max_latency": 1}, 400, "not_supported"),
            ({"quantity_st": 2000000}, 400, None),
            ({"quantity_st": "-1000"}, 400, None),
            ({"quantity_st": "1e3"}, 400, None),
            ({"quantity_st": "१०००"}, 400, None),
            ({"quantity_st": "1_000"}, 400, None),
            ({"price_per_million": "NaN"}, 400, None),
            ({"price_per_million": "-1.80"}, 400, None),
            ({"price_per_million": "1.8000001"}, 400, None),
            ({"price_per_million": "99999999999"}, 400, None),
            ({"side": "short"}, 400, None),
            ({"unheard_of": 1}, 400, None),
            ({"window_start": "2026-11-24T15:00:00"}, 400, None),
            ({"line": "\u0000"}, 400, None),
        ],
    )  # fmt: skip
    def test_refuses_with_a_problem_and_writes_nothing(self, api, live_world, changes, status, code):
        answer = place(api, live_world, **changes)

        problem = answer.json()
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
        assert code is None or problem["code"] == code
        assert not Order.objects.exists()

    def test_a_refused_key_may_be_used_again(self, api, live_world):
        assert place(api, live_world, key="k", quantity_st="1500").status_code == 422

        assert place(api, live_world, key="k", quantity_st="1000").status_code == 201

    def test_a_repeated_client_order_id_gives_the_first_order_or_a_conflict(self, api, live_world):
        first = place(api, live_world, client_order_id="mine").json()

        same = place(api, live_world, client_order_id="mine")
        other = place(api, live_world, client_order_id="mine", quantity_st="1000")

        assert same.json()["id"] == first["id"]
        assert (other.status_code, other.json()["code"]) == (409, "duplicate_client_order_id")

    def test_needs_the_right_to_write(self, buyer, live_world):
        answer = place(client_of(buyer, "orders:read"), live_world)

        assert answer.status_code == 403


class TestPreview:
    def test_says_what_would_happen_and_writes_nothing(self, api, live_world, seller):
        live_world.offer(seller, 1_000_000, 1_700_000)

        answer = api.post(f"{ORDERS}/preview", body(live_world), content_type="application/json").json()

        assert (answer["expected_fill_st"], answer["expected_price_per_million"]) == ("1000000", "1.80")
        assert (answer["worst_cost"], answer["held"], answer["fee"]) == ("3.60", "3.60", "0.00")
        assert (answer["reference_per_million"], answer["distance_bps"]) == ("2.00", -1_000)
        assert not Order.objects.filter(side=0).exists()


class TestReads:
    def test_of_another_organisation_are_not_found(self, api, live_world):
        order = place(api, live_world).json()
        stranger = client_of(live_world.organisation("buyer", yuan=10))

        for answer in (stranger.get(f"{ORDERS}/{order['id']}"), stranger.post(f"{ORDERS}/{order['id']}/cancel")):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert stranger.get(ORDERS).json() == {"data": [], "next": None}
        assert api.get(f"{ORDERS}/{order['id']}").json()["status"] == "open"

    def test_follow_each_other_by_cursor(self, api, live_world):
        placed = [place(api, live_world, quantity_st="1000").json()["id"] for _ in range(5)]

        seen, cursor = [], ""
        while cursor is not None:
            page = api.get(ORDERS, {"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
            seen += [one["id"] for one in page["data"]]
            cursor = page["next"]

        assert seen == placed[::-1]

    def test_of_lines_products_and_depth_name_nobody(self, api, live_world, seller):
        live_world.offer(seller, 3_000, 1_900_000)
        place(api, live_world, quantity_st="1000")

        lines = api.get("/api/v1/lines").json()
        products = api.get("/api/v1/products", {"line": live_world.line, "grade": live_world.grade}).json()
        mine = next(one for one in products["data"] if one["best_offer_per_million"])
        depth = api.get(f"/api/v1/products/{mine['id']}/depth").json()

        assert {one["slug"] for one in lines["data"]} == {"llama-3-8b", "llama-2-7b"}
        assert len(products["data"]) == 49
        assert (mine["best_bid_per_million"], mine["best_offer_per_million"]) == ("1.80", "1.90")
        assert depth["bids"] == [{"price_per_million": "1.80", "quantity_st": "1000", "flexible_st": "0"}]
        assert depth["offers"] == [{"price_per_million": "1.90", "quantity_st": "3000", "flexible_st": "0"}]
        for answer in (lines, products, depth):
            assert str(seller.organisation_id) not in json.dumps(answer)
            assert ids.encode("org", seller.organisation_id) not in json.dumps(answer)

    def test_of_what_is_not_there_are_404(self, api):
        for path in ("/orders/ord_x", "/products/prd_x/depth", "/rounds/1", "/rounds/١", "/rounds/0x1"):
            assert api.get(f"/api/v1{path}").status_code == 404, path

    def test_a_round_and_its_allocations(self, api, live_world, seller):
        placed = place(api, live_world).json()
        live_world.offer(seller, 5_000_000, 1_700_000)
        live_world.round()

        (listed,) = api.get("/api/v1/rounds").json()["data"]
        detail = api.get("/api/v1/rounds/1").json()
        (allocation,) = api.get("/api/v1/allocations").json()["data"]

        assert {name: detail[name] for name in listed} == listed
        (price,) = detail["prices"]
        assert (price["price_per_million"], price["volume_st"]) == ("1.70", "2000000")
        assert len(detail["seed"]) == len(detail["root"]) == len(detail["commitment"]) == 64
        assert (allocation["order"], allocation["cost"]) == (placed["id"], "3.40")
        assert api.get(f"{ORDERS}/{placed['id']}").json()["average_price_per_million"] == "1.70"

    def test_need_a_key(self, live_world):
        for path in ("lines", "products", "orders", "rounds", "allocations"):
            assert Client().get(f"/api/v1/{path}").status_code == 401


class TestCancel:
    def test_gives_the_order_back_and_may_be_repeated(self, api, live_world):
        order = place(api, live_world).json()

        first, again = (api.post(f"{ORDERS}/{order['id']}/cancel") for _ in range(2))

        assert first.json()["status"] == "cancelled"
        assert first.json() == again.json()

    def test_all_says_how_many(self, api, live_world):
        for _ in range(3):
            place(api, live_world, quantity_st="1000")

        answer = api.post(f"{ORDERS}/cancel", {}, content_type="application/json")

        assert answer.json() == {"cancelled": 3}

    def test_of_an_order_that_is_over_is_refused(self, api, live_world):
        order = place(api, live_world).json()
        services.sweep.sweep(now=live_world.window + timedelta(hours=1))

        answer = api.post(f"{ORDERS}/{order['id']}/cancel")

        assert (answer.status_code, answer.json()["code"]) == (409, "order_ended")
