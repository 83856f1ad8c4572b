"""Keys and the caller over REST."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.kernel import ids
from accounts.models import ApiKey, IdempotencyRow
from tests.accounts.conftest import House

KEYS = "/api/v1/keys"


def make(client: Client, *, key: str = "k", **change: Any) -> Any:
    body = {"name": "bot", "scopes": ["market:read"], **change}
    return client.post(KEYS, body, content_type="application/json", headers={"idempotency-key": key})


@pytest.fixture
def api(house: House) -> Client:
    client: Client = house.api("keys:write", "market:read")
    return client


class TestMe:
    def test_tells_who_a_key_acts_for(self, house: House) -> None:
        answer = house.api("inference").get("/api/v1/me").json()

        assert answer == {
            "organisation": ids.encode("org", house.own_id), "organisation_name": "Harbour", "kind": "buyer",
            "role": None, "scopes": ["inference"],
        }  # fmt: skip

    def test_tells_a_member_the_role(self, house: House) -> None:
        assert house.signed_in("finance").get("/api/v1/me").json()["role"] == "finance"

    def test_is_for_nobody_else(self, db: None) -> None:
        assert Client().get("/api/v1/me").status_code == 401


class TestKeys:
    def test_are_made_and_work_at_once(self, api: Client) -> None:
        answer = make(api, scopes=["market:read"])

        assert answer.status_code == 201
        assert answer["Cache-Control"] == "no-store"
        with_it = Client(headers={"authorization": f"Bearer {answer.json()['secret']}"})
        assert with_it.get("/api/v1/me").json()["scopes"] == ["market:read"]

    def test_show_their_secret_once(self, api: Client) -> None:
        made = make(api).json()

        again = make(api)

        assert (again.status_code, again.json()["code"], again.json()["id"]) == (409, "already_created", made["id"])
        assert made["secret"] not in api.get(KEYS).content.decode() + again.content.decode()
        assert made["secret"][13:] not in str(IdempotencyRow.objects.get().__dict__)
        assert ApiKey.objects.filter(name="bot").count() == 1

    def test_are_not_made_by_a_key_used_for_another_body(self, api: Client) -> None:
        make(api)

        assert make(api, name="other").status_code == 422

    def test_are_listed_in_pages_newest_first(self, api: Client) -> None:
        made = [make(api, key=str(n), name=f"bot {n}").json()["id"] for n in range(5)]

        seen, cursor, pages = [], "", 0
        while cursor is not None:
            body = api.get(KEYS, {"limit": "2", **({"cursor": cursor} if cursor else {})}).json()
            seen += [one["id"] for one in body["data"]]
            cursor, pages = body["next"], pages + 1

        assert seen[:5] == made[::-1]
        assert (len(seen), pages) == (6, 3)  # with the one that asks
        assert {"secret", "secret_hash"}.isdisjoint(body["data"][0])

    @pytest.mark.parametrize("query", [{"cursor": "x"}, {"cursor": "ord_" + "0" * 26}, {"limit": "0"}, {"limit": "201"}, {"limit": "٥"}, {"limit": "1_0"}, {"limit": "-1"}, {"limit": ""}])  # fmt: skip
    def test_refuse_cursors_and_limits_that_no_page_gave(self, api: Client, query: dict[str, str]) -> None:
        answer = api.get(KEYS, query)

        assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")

    def test_are_revoked_once_and_for_all(self, api: Client) -> None:
        made = make(api).json()

        answers = [api.post(f"{KEYS}/{made['id']}/revoke").status_code for _ in range(2)]

        assert answers == [204, 204]
        dead = Client(headers={"authorization": f"Bearer {made['secret']}"})
        assert dead.get("/api/v1/me").status_code == 401

    def test_of_another_organisation_do_not_exist(self, house: House, api: Client) -> None:
        made = make(api).json()
        stranger = house.api("keys:write", stranger=True)

        answer = stranger.post(f"{KEYS}/{made['id']}/revoke")
        unknown = stranger.post(f"{KEYS}/{ids.encode('key', ids.new())}/revoke")
        nonsense = stranger.post(f"{KEYS}/nonsense/revoke")

        assert [one.status_code for one in (answer, unknown, nonsense)] == [404, 404, 404]
        assert [one.json()["detail"] for one in (answer, unknown, nonsense)] == [answer.json()["detail"]] * 3
        assert made["id"] not in stranger.get(KEYS).content.decode()
        assert ApiKey.objects.get(name="bot").revoked_at is None

    def test_need_the_right_to_make_keys(self, house: House) -> None:
        client = house.api("market:read", "orders:write")

        assert [client.get(KEYS).status_code, make(client).status_code] == [403, 403]

    @pytest.mark.parametrize(
        ("change", "status"),
        [({"scopes": []}, 400), ({"scopes": ["orders:write"]}, 422), ({"scopes": ["x"]}, 422), ({"scopes": "market:read"}, 400), ({"name": ""}, 400), ({"name": "x" * 81}, 400),
         ({"name": "a\u0000b"}, 400), ({"secret": "mine"}, 400), ({"expires_at": "tomorrow"}, 400), ({"expires_at": "2020-01-01T00:00:00Z"}, 422)],
    )  # fmt: skip
    def test_are_refused_with_a_code(self, api: Client, change: dict[str, Any], status: int) -> None:
        answer = make(api, **change)

        assert answer.status_code == status and answer.json()["code"]
        assert ApiKey.objects.count() == 1


class TestSchema:
    def test_names_the_key_and_every_path_of_accounts(self, db: None) -> None:
        schema = Client().get("/api/openapi.json", headers={"accept": "application/json"})

        body = schema.json() if "json" in schema["Content-Type"] else __import__("yaml").safe_load(schema.content)
        assert body["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
        assert {"/api/v1/keys", "/api/v1/me", "/api/v1/keys/{public_id}/revoke"} <= set(body["paths"])
