"""Providers over REST."""

from __future__ import annotations

import uuid
from datetime import datetime

import pytest
from django.test import Client

from accounts.kernel import ids
from accounts.selectors import clock
from accounts.services import keys
from market import selectors as market
from providers.kernel.schedule import Weekly, covers
from tests.providers.scene import LINE, Scene, build

pytestmark = pytest.mark.django_db
NIGHTS = Weekly(frozenset(range(7)), 22, 6)
POOL = {"name": "Harbour 1", "vendor": "huawei", "chip": "910B", "device_count": 8, "region": "cn-east"}


@pytest.fixture
def now() -> datetime:
    return clock.now()


@pytest.fixture
def scene(now: datetime) -> Scene:
    return build(now=now)


class Api:
    """A program with a key."""

    def __init__(self, actor, *scopes: str, now: datetime) -> None:
        secret = keys.create(actor=actor, name="test", scopes=scopes, now=now).secret
        self._client = Client(headers={"authorization": f"Bearer {secret}"})

    def get(self, path: str):
        return self._client.get(f"/api/v1{path}")

    def post(self, path: str, body=None, *, key: str | None = None):
        headers = {"idempotency-key": key or uuid.uuid4().hex}
        return self._client.post(f"/api/v1{path}", body or {}, content_type="application/json", headers=headers)


@pytest.fixture
def api(scene: Scene, now: datetime) -> Api:
    return Api(scene.provider, "offers:read", "offers:write", now=now)


def offer(deployment: str, /, **change) -> dict:
    return {
        "deployment": deployment, "grade": "interactive", "kind": "weekly", "weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        "from_hour": 22, "to_hour": 6, "discount_bps": 3500, "floor_per_million": "1.00", **change,
    }  # fmt: skip


def registered(api: Api) -> str:
    pool = api.post("/provider/pools", POOL).json()
    body = {
        "pool": pool["id"],
        "line": LINE,
        "served_format": "fp16",
        "endpoint_url": "https://e.example.com",
        "rate_st_per_second": 1000,
        "api_key": "s3cret",
    }
    return api.post("/provider/deployments", body).json()["id"]


class TestOffers:
    def test_go_from_hardware_to_posted_windows(self, api: Api, now: datetime) -> None:
        deployment = registered(api)
        preview = api.post("/provider/offers/preview", offer(deployment)).json()
        made = api.post("/provider/offers", offer(deployment))
        assert made.status_code == 201 and made.json()["state"] == "draft"

        live = api.post(f"/provider/offers/{made.json()['id']}/post").json()

        assert live["state"] == "live"
        nights = [start for start, _ in market.open_windows(now) if covers(NIGHTS, start)]
        assert [one["limit_per_million"] for one in live["posted"]] == ["2.16"] * len(nights)
        # The running hour shrinks by the second; the others stand still.
        later = [number for number, start in enumerate(nights) if start > now]
        for listed in (live["posted"], preview["windows"]):
            assert [listed[number]["quantity_st"] for number in later] == ["3600000"] * len(later)
        assert live["offered_st"] == str(sum(int(one["quantity_st"]) for one in live["posted"]))
        assert (live["weekdays"][0], live["floor_per_million"]) == ("mon", "1.00")
        assert api.get("/provider/offers").json()["data"][0]["id"] == live["id"]

    def test_are_made_once_per_idempotency_key(self, api: Api) -> None:
        deployment = registered(api)

        first, again = (api.post("/provider/offers", offer(deployment), key="same") for _ in range(2))

        assert first.json()["id"] == again.json()["id"]
        assert len(api.get("/provider/offers").json()["data"]) == 1
        assert api.post("/provider/offers", offer(deployment, discount_bps=1), key="same").status_code == 422

    @pytest.mark.parametrize(
        "change",
        [{"floor_per_million": "-1"}, {"floor_per_million": "NaN"}, {"floor_per_million": "1e3"}, {"floor_per_million": "1.0000001"}, {"floor_per_million": 1.5e300},
         {"discount_bps": 10000}, {"weekdays": ["mo"]}, {"weekdays": []}, {"from_hour": 24}, {"kind": "daily"}, {"extra": 1}, {"window_start": "2026-11-24T10:00:00Z"},
         {"to_hour": None}, {"deployment": "dep_x"}, {"grade": "gold"}, {"floor_per_million": "1.005"}],
    )  # fmt: skip
    def test_are_refused_with_a_problem_and_nothing_is_written(self, api: Api, change) -> None:
        deployment = registered(api)

        answer = api.post("/provider/offers", offer(deployment, **change))

        assert answer.status_code in {400, 404, 422}
        assert answer["content-type"] == "application/problem+json"
        assert answer.json()["code"]
        assert api.get("/provider/offers").json()["data"] == []


def calendar(deployment: str, /, **change) -> dict:
    body = offer(deployment, kind="calendar", workday_hours={"from_hour": 1, "to_hour": 7})
    return {name: value for name, value in body.items() if name not in {"weekdays", "from_hour", "to_hour"}} | change


class TestCalendarOffers:
    def test_name_hours_of_working_days_and_of_days_off(self, api: Api) -> None:
        deployment = registered(api)
        body = calendar(deployment, restday_hours={"from_hour": 0, "to_hour": 24})

        preview = api.post("/provider/offers/preview", body).json()
        made = api.post("/provider/offers", body).json()

        assert made["kind"] == "calendar"
        assert made["workday_hours"] == {"from_hour": 1, "to_hour": 7}
        assert made["restday_hours"] == {"from_hour": 0, "to_hour": 24}
        assert (made["weekdays"], made["from_hour"], made["window_start"]) == (None, None, None)
        assert {one["day"] for one in preview["windows"]} <= {"workday", "makeup", "weekend", "holiday"}
        assert all(isinstance(one["day_published"], bool) for one in preview["windows"])

    def test_may_leave_one_kind_of_day_out(self, api: Api) -> None:
        made = api.post("/provider/offers", calendar(registered(api), restday_hours=None))

        assert (made.status_code, made.json()["restday_hours"]) == (201, None)

    @pytest.mark.parametrize(
        "change",
        [{"workday_hours": None}, {"workday_hours": {"from_hour": 1}}, {"workday_hours": {"from_hour": 1, "to_hour": 1}}, {"workday_hours": [1, 7]},
         {"workday_hours": {"from_hour": 1, "to_hour": 25}}, {"workday_hours": {"from_hour": "1", "to_hour": 7}}, {"from_hour": 1}, {"weekdays": ["mon"]},
         {"kind": "once"}, {"kind": "weekly"}, {"workday_hours": {"from_hour": 1, "to_hour": 7, "extra": 1}}],
    )  # fmt: skip
    def test_are_refused_with_a_problem(self, api: Api, change) -> None:
        answer = api.post("/provider/offers", calendar(registered(api), **change))

        assert answer.status_code in {400, 422}
        assert answer.json()["code"]
        assert api.get("/provider/offers").json()["data"] == []


class TestRights:
    def test_the_key_of_an_engine_is_never_given_back(self, api: Api) -> None:
        registered(api)

        assert "s3cret" not in api.get("/provider/deployments").content.decode()

    def test_a_reader_cannot_write(self, scene: Scene, now: datetime) -> None:
        reader = Api(scene.provider, "offers:read", now=now)

        assert reader.get("/provider/pools").status_code == 200
        assert reader.post("/provider/pools", POOL).status_code == 403

    def test_a_buyer_has_nothing_to_offer(self, scene: Scene, now: datetime) -> None:
        buyer = Api(scene.buyer, "offers:read", "offers:write", now=now)

        answer = buyer.post("/provider/pools", POOL)

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")

    def test_foreign_things_do_not_exist(self, api: Api, scene: Scene, now: datetime) -> None:
        deployment = registered(api)
        made = api.post("/provider/offers", offer(deployment)).json()["id"]
        from accounts.selectors import actors
        from accounts.services import organisations

        other = Api(
            actors.of_organisation(organisations.create(name="O", kind="provider", now=now)),
            "offers:read",
            "offers:write",
            now=now,
        )

        assert other.get(f"/provider/offers/{made}").status_code == 404
        assert other.post(f"/provider/offers/{made}/post").status_code == 404
        assert other.post("/provider/offers", offer(deployment)).status_code == 404
        assert other.post(f"/provider/deployments/{deployment}/retire").status_code == 404
        assert other.get("/provider/offers").json()["data"] == []
        assert api.get(f"/provider/offers/{ids.encode('off', ids.new())}").status_code == 404

    def test_nobody_without_a_key(self) -> None:
        assert Client().get("/api/v1/provider/pools").status_code == 401
