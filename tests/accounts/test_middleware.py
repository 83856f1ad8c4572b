"""Content policy, request ids, and pages that ask who is looking."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.services import members
from tests.accounts.conftest import House

pytestmark = pytest.mark.urls("tests.accounts.urls")
PAGE = "/test/page/"


def policy(answer: Any) -> dict[str, set[str]]:
    """The directives of the answer's content policy."""
    parts = [part.split() for part in answer["Content-Security-Policy"].split(";")]
    return {part[0]: set(part[1:]) for part in parts}


class TestContentPolicy:
    @pytest.mark.parametrize("path", ["/accounts/login/", "/nothing/", "/api/v1/nothing", PAGE, "/api/v1/me"])
    def test_allows_own_files_only_on_every_answer(self, db: None, path: str) -> None:
        found = policy(Client().get(path))

        assert found["default-src"] == {"'self'"}
        assert found["frame-ancestors"] == {"'none'"}
        assert found["img-src"] == {"'self'", "data:"}
        assert found["connect-src"] == {"'self'", "ws:", "wss:"}
        for directive in ("script-src", "style-src"):
            assert found.get(directive, {"'self'"}) == {"'self'"}
        assert not any(source.startswith(("http", "*", "'unsafe")) for sources in found.values() for source in sources)

    def test_is_on_answers_to_faults_too(self, db: None) -> None:
        answer = Client(raise_request_exception=False).get("/test/fails/bug/")

        assert answer.status_code == 500
        assert policy(answer)["default-src"] == {"'self'"}

    @pytest.mark.parametrize("path", ["/admin/login/", "/api/docs/"])
    def test_is_looser_only_where_others_wrote_the_page(self, db: None, path: str) -> None:
        found = policy(Client().get(path))

        assert "'unsafe-inline'" in found["script-src"]
        assert found["frame-ancestors"] == {"'none'"}

    @pytest.mark.parametrize("path", ["/api/docsx", "/adminx/", "/x/admin/"])
    def test_is_not_looser_beside_them(self, db: None, path: str) -> None:
        assert policy(Client().get(path)).get("script-src", {"'self'"}) == {"'self'"}


class TestActorPage:
    def test_sends_strangers_to_sign_in_and_back(self, db: None) -> None:
        answer = Client().get(PAGE + "?a=1")

        assert answer.status_code == 302
        assert answer["Location"] == reverse("account_login") + "?next=/test/page/%3Fa%3D1"

    def test_sends_the_whole_page_there_where_a_fragment_was_asked_for(self, db: None) -> None:
        answer = Client().get(PAGE, headers={"hx-request": "true", "hx-current-url": "http://testserver/market/?x=1"})

        assert answer.status_code == 204
        assert answer["HX-Redirect"] == reverse("account_login") + "?next=/market/%3Fx%3D1"

    def test_says_who_can_grant_what_is_missing(self, house: House) -> None:
        answer = house.signed_in("viewer").get(PAGE)

        assert answer.status_code == 403
        assert "An owner of your organisation can grant it." in answer.content.decode()

    def test_says_so_where_a_person_belongs_nowhere(self, house: House) -> None:
        from accounts.models import User

        client = Client()
        user = User.objects.create_user("alone@example.com", "p" * 14)
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")

        answer = client.get(PAGE)

        assert answer.status_code == 403
        assert "belongs to no organisation" in answer.content.decode()

    def test_acts_for_the_reader_s_organisation(self, house: House) -> None:
        assert house.signed_in("trader").get(PAGE).content == b"Harbour"


class TestActiveOrganisation:
    @pytest.fixture
    def browser(self, house: House) -> Client:
        user = house.member("owner")
        members.add(organisation_id=house.other_id, email=user.email, role="trader", now=house.now)
        client = Client()
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    def test_is_the_first_joined_until_another_is_chosen(self, house: House, browser: Client) -> None:
        from accounts.kernel import ids

        before = browser.get(PAGE).content
        answer = browser.post("/settings/active/", {"organisation": ids.encode("org", house.other_id)})

        assert (before, answer.status_code, browser.get(PAGE).content) == (b"Harbour", 302, b"Meadow")
        assert browser.get("/api/v1/me").json()["role"] == "trader"

    def test_is_never_one_that_the_person_is_not_in(self, house: House) -> None:
        from accounts.kernel import ids

        browser = house.signed_in("owner")
        for wrong in (ids.encode("org", house.other_id), "org_x", "", ids.encode("key", house.own_id)):
            assert browser.post("/settings/active/", {"organisation": wrong}).status_code == 404

        assert browser.get(PAGE).content == b"Harbour"

    def test_falls_back_where_the_membership_ended(self, house: House, browser: Client) -> None:
        from accounts.kernel import ids
        from accounts.models import Member

        browser.post("/settings/active/", {"organisation": ids.encode("org", house.other_id)})
        Member.objects.filter(organisation_id=house.other_id).delete()

        assert browser.get(PAGE).content == b"Harbour"


class TestRefusedPages:
    @pytest.mark.parametrize(
        ("name", "status"), [("domain", 402), ("database", 503), ("http404", 404), ("denied", 403)]
    )
    def test_are_pages_that_tell_nothing_of_the_inside(self, db: None, name: str, status: int) -> None:
        answer = Client().get(f"/test/fails/{name}/")

        assert answer.status_code == status
        assert b"<h1>" in answer.content and b"secret" not in answer.content
        assert answer["X-Request-Id"].encode() in answer.content

    def test_say_when_to_come_back(self, db: None) -> None:
        assert Client().get("/test/fails/database/")["Retry-After"].isdigit()
