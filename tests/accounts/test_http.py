"""The manners of every REST path: who may, what is read, and how refusals look."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.accounts.conftest import House
from tests.accounts.kernel.test_strict_json import REFUSED

pytestmark = pytest.mark.urls("tests.accounts.urls")
ECHO, ONCE = "/api/v1/test/echo", "/api/v1/test/once"


def post(client: Client, body: Any, *, path: str = ECHO, media: str = "application/json", **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.generic("POST", path, raw, content_type=media, headers=headers)


def problem(answer: Any, status: int, code: str | None = None) -> dict[str, Any]:
    """The answer is a problem document, complete; gives it."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"]) == (status, status), body
    assert answer["Content-Type"] == "application/problem+json"
    assert body["request_id"] == answer["X-Request-Id"]
    assert isinstance(body["retryable"], bool)
    assert body["type"] == "about:blank" and body["title"] and body["detail"]
    assert code is None or body["code"] == code, body
    return body


@pytest.fixture
def api(house: House) -> Client:
    client: Client = house.api("market:read", "orders:write")
    return client


class TestStrictJSON:
    @pytest.mark.parametrize(
        "raw", [raw for raw in REFUSED.values() if raw], ids=[n for n, raw in REFUSED.items() if raw]
    )
    def test_refuses_malformed_bodies(self, api: Client, raw: bytes) -> None:
        problem(post(api, raw), 400, "malformed_json")

    @pytest.mark.parametrize("raw", [b"[]", b'"x"', b"1", b"null", b"true", b"1.5", b'[{"text": "x"}]'])
    def test_refuses_what_is_no_object(self, api: Client, raw: bytes) -> None:
        problem(post(api, raw), 400, "invalid")

    def test_takes_a_mebibyte_and_no_more(self, api: Client) -> None:
        frame = b'{"count": 1}'

        assert post(api, frame + b" " * (2**20 - len(frame))).status_code == 200
        problem(post(api, frame + b" " * (2**20 - len(frame) + 1)), 413, "body_too_large")

    @pytest.mark.parametrize(
        "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "nonsense"]
    )  # fmt: skip
    def test_takes_no_other_media_type(self, api: Client, media: str) -> None:
        problem(post(api, b"count=1", media=media), 415, "unsupported_media_type")

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=80))
    def test_never_fails_for_any_bytes(self, api: Client, raw: bytes) -> None:
        assert post(api, raw).status_code in {200, 400}


class TestStrictTypes:
    @pytest.mark.parametrize(
        ("field", "value"),
        [("count", "1"), ("count", "1_000"), ("count", "١٢"), ("count", 1.0), ("count", 1e300), ("count", True), ("count", None), ("count", [1]), ("count", {"a": 1}),
         ("flag", "true"), ("flag", 1), ("flag", "yes"), ("flag", None), ("flag", []),
         ("text", 1), ("text", 1.5), ("text", True), ("text", ["x"]), ("text", {"x": 1}), ("text", "x" * 11),
         ("at", 0), ("at", "2026-11-24"), ("at", "2026-11-24T10:00:00"), ("at", "٢٠٢٦-11-24T10:00:00Z"), ("at", "2026-02-30T10:00:00Z"), ("at", "2026-11-24T10:00:00Z "), ("at", "2026-11-24T25:00:00Z"),
         ("at", "0001-01-01T00:00:00+14:00"), ("at", "9999-12-31T23:59:59-14:00"), ("at", "2026-11-24T10:00:00+99:99"),
         ("side", "hold"), ("side", 1), ("side", ["buy"]), ("side", {}),
         ("numbers", 1), ("numbers", "123"), ("numbers", {"0": 1}), ("numbers", [1, "2"]), ("numbers", [None]), ("numbers", [1, 2, 3, 4]), ("numbers", [[1]]),
         ("inner", "x"), ("inner", []), ("inner", {}), ("inner", {"text": 1}), ("inner", None)],
    )  # fmt: skip
    def test_refuse_the_field_by_name(self, api: Client, field: str, value: Any) -> None:
        body = problem(post(api, {field: value}), 400, "invalid")

        assert all(one["field"].startswith(field) and one["message"] and one["code"] for one in body["errors"])

    @pytest.mark.parametrize(
        "body",
        [{}, {"count": 10**30}, {"count": -1}, {"flag": False}, {"text": None}, {"text": "词元"}, {"at": "2026-11-24T10:00:00Z"}, {"at": "2026-11-24T10:00:00.5+08:00"},
         {"side": "buy"}, {"numbers": []}, {"numbers": [1, 2]}, {"inner": {"text": "x"}}],
    )  # fmt: skip
    def test_take_json_s_own_types(self, api: Client, body: dict[str, Any]) -> None:
        assert post(api, body).status_code == 200

    @pytest.mark.parametrize("body", [{"coutn": 1}, {"count": 1, "x": None}, {"inner": {"text": "x", "y": 1}}, {"": 1}])
    def test_refuse_unknown_members(self, api: Client, body: dict[str, Any]) -> None:
        problem(post(api, body), 400, "unknown_field")


class TestRights:
    def test_ask_for_a_key(self, db: None) -> None:
        answer = Client().get(ECHO)

        problem(answer, 401)
        assert answer["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize("value", ["Bearer tsk_abcdefgh_" + "x" * 43, "Bearer", "Basic eDp5", "x"])
    def test_refuse_a_bad_key_even_with_a_session(self, house: House, value: str) -> None:
        answer = house.signed_in("owner").get(ECHO, headers={"authorization": value})

        problem(answer, 401)

    def test_name_the_scope_that_is_missing(self, house: House) -> None:
        body = problem(post(house.api("market:read"), {}), 403, "scope_missing")

        assert "orders:write" in body["detail"]

    def test_refuse_methods_that_a_view_does_not_list(self, api: Client) -> None:
        for method in ("PUT", "PATCH", "DELETE", "TRACE"):
            problem(api.generic(method, ECHO), 405)

    def test_let_a_member_do_over_rest_what_the_role_may(self, house: House) -> None:
        assert house.signed_in("viewer").get(ECHO).json() == {"organisation": "Harbour"}
        problem(post(house.signed_in("viewer"), {}), 403, "scope_missing")

    def test_ask_a_session_for_its_csrf_token(self, house: House) -> None:
        browser = house.signed_in("owner", enforce_csrf_checks=True)

        problem(post(browser, {}), 403)

    def test_ask_a_key_for_no_csrf_token(self, house: House) -> None:
        client = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {house.secret('orders:write')}"})

        assert post(client, {}).status_code == 200

    def test_end_with_a_suspended_organisation(self, house: House) -> None:
        from accounts.models import Organisation

        browser, program = house.signed_in("owner"), house.api("market:read")
        Organisation.objects.filter(id=house.own_id).update(state="suspended")

        problem(browser.get(ECHO), 401)
        problem(program.get(ECHO), 401)

    def test_refuse_a_form_that_is_too_large_without_failing(self, house: House) -> None:
        browser = house.signed_in("owner", enforce_csrf_checks=True)

        answer = post(browser, b"a=" + b"x" * 2**21, media="application/x-www-form-urlencoded")

        problem(answer, answer.status_code)
        assert 400 <= answer.status_code < 500


class TestProblems:
    def test_carry_the_details_of_a_refusal_and_no_stranger_s(self, api: Client) -> None:
        body = problem(api.get("/api/v1/test/fails/domain"), 402, "no_money")

        assert (body["detail"], body["needed"], body["retryable"]) == ("Top up.", "1.80", True)
        assert "errors" not in body

    def test_say_of_a_missing_database_when_to_come_back(self, api: Client) -> None:
        answer = api.get("/api/v1/test/fails/database")

        assert problem(answer, 503, "busy")["retryable"] is True
        assert answer["Retry-After"].isdigit()

    @pytest.mark.parametrize(("name", "status"), [("http404", 404), ("denied", 403), ("bug", 500), ("database", 503)])
    def test_never_tell_what_is_inside(self, api: Client, name: str, status: int) -> None:
        api.raise_request_exception = False

        answer = api.get(f"/api/v1/test/fails/{name}")

        problem(answer, status)
        assert b"secret" not in answer.content

    @pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/", "/api/v1/test/echo/x"])
    def test_stand_for_addresses_that_do_not_exist(self, db: None, path: str) -> None:
        problem(Client().get(path), 404, "not_found")

    def test_never_take_the_caller_s_request_id(self, api: Client) -> None:
        one, other = (api.get(ECHO, headers={"x-request-id": "mine"})["X-Request-Id"] for _ in range(2))

        assert len({one, other, "mine"}) == 3


class TestIdempotencyKey:
    @pytest.mark.parametrize("key", [None, "", "a b", "é", "x" * 256, "\t"])
    def test_is_needed_in_one_form(self, api: Client, key: str | None) -> None:
        headers = {} if key is None else {"idempotency-key": key}

        problem(post(api, {}, path=ONCE, **headers), 400, "idempotency_key_missing")

    def test_gives_the_same_answer_and_says_so(self, api: Client) -> None:
        first, again = (post(api, {}, path=ONCE, **{"idempotency-key": "k" * 255}) for _ in range(2))

        assert first.content == again.content
        assert (first.get("Idempotency-Replayed"), again.get("Idempotency-Replayed")) == (None, "true")

    def test_is_refused_for_another_body(self, api: Client) -> None:
        post(api, {"a": 1}, path=ONCE, **{"idempotency-key": "k"})

        problem(post(api, {"a": 2}, path=ONCE, **{"idempotency-key": "k"}), 422, "idempotency_payload_differs")
