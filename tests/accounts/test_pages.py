"""The pages for programs' authors and of the organisation, as members see them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.kernel import ids
from accounts.models import ApiKey, AuditEvent
from accounts.services import audit
from tests.accounts.conftest import House

KEYS = "/developers/keys/"
PATHS = ["/developers/", KEYS, "/settings/"]


def form(browser: Client, **change: Any) -> dict[str, Any]:
    """What the key form would send."""
    found = re.search(r'name="once" value="([0-9a-f]+)"', browser.get(KEYS).content.decode())
    assert found
    return {"name": "bot", "scopes": ["market:read"], "days": "30", "once": found[1], **change}


def secret_of(page: Any) -> str | None:
    found = re.search(r"tsk_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", page.content.decode())
    return found[0] if found else None


class TestEveryPage:
    @pytest.mark.parametrize("path", PATHS)
    def test_asks_for_a_sign_in(self, db: None, path: str) -> None:
        answer = Client().get(path)

        assert (answer.status_code, answer["Location"]) == (302, f"{reverse('account_login')}?next={path}")

    @pytest.mark.parametrize("language", ["en", "zh-hans"])
    @pytest.mark.parametrize("role", ["owner", "trader", "provider", "finance", "viewer"])
    @pytest.mark.parametrize("path", PATHS)
    def test_is_there_for_every_role(self, house: House, path: str, role: str, language: str) -> None:
        page = house.signed_in(role, language=language).get(path)

        text = page.content.decode()
        assert page.status_code == 200
        assert text.count("<h1>") == 1
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=", text)  # the content policy would refuse it
        assert "Meadow" not in text


class TestKeys:
    def test_are_made_with_the_secret_shown_once(self, house: House) -> None:
        browser = house.signed_in("owner")

        page = browser.post(KEYS, form(browser))

        secret = secret_of(page)
        assert secret and "no-store" in page["Cache-Control"]
        key = ApiKey.objects.get()
        assert (key.name, key.scopes, key.expires_at - key.created_at) == ("bot", ["market:read"], timedelta(days=30))
        assert secret_of(browser.get(KEYS)) is None
        assert Client(headers={"authorization": f"Bearer {secret}"}).get("/api/v1/me").status_code == 200

    def test_without_an_end_are_valid_until_they_are_revoked(self, house: House) -> None:
        browser = house.signed_in("owner")

        browser.post(KEYS, form(browser, days="ever"))

        assert ApiKey.objects.get().expires_at is None

    def test_are_made_once_by_a_form_that_is_sent_again(self, house: House) -> None:
        browser = house.signed_in("owner")
        data = form(browser)
        browser.post(KEYS, data)

        same, changed = browser.post(KEYS, data), browser.post(KEYS, {**data, "name": "other"})

        assert (same.status_code, changed.status_code) == (422, 422)
        assert "the secret cannot be shown again" in same.content.decode()
        assert ApiKey.objects.count() == 1

    @pytest.mark.parametrize(
        "change", [{"name": ""}, {"scopes": []}, {"scopes": ["x"]}, {"days": "9999"}, {"once": ""}, {"name": "x" * 81}]
    )
    def test_are_not_made_of_wrong_fields_and_what_was_typed_stays(self, house: House, change: dict[str, Any]) -> None:
        browser = house.signed_in("owner")

        page = browser.post(KEYS, form(browser, **{"name": "my bot", **change}))

        assert page.status_code == 422
        assert ApiKey.objects.count() == 0
        assert "name" in change or 'value="my bot"' in page.content.decode()

    def test_are_offered_only_the_scopes_of_the_maker(self, house: House) -> None:
        browser = house.signed_in("trader")

        page = browser.get(KEYS).content.decode()
        refused = browser.post(KEYS, form(browser, scopes=["billing:write"]))

        assert 'value="orders:write"' in page and 'value="billing:write"' not in page
        assert refused.status_code == 422

    def test_are_not_made_by_a_viewer(self, house: House) -> None:
        browser = house.signed_in("viewer")

        page = browser.get(KEYS).content.decode()
        refused = browser.post(KEYS, {"name": "bot", "scopes": ["market:read"], "once": "x" * 32})

        assert "An owner of your organisation can." in page
        assert refused.status_code == 422
        assert ApiKey.objects.count() == 0

    def test_stand_with_their_state(self, house: House) -> None:
        from accounts.services import keys

        for name, days in (("fresh", 1), ("old", -1), ("dead", 1)):
            keys.create(actor=house.owner, name=name, scopes=["inference"], now=house.now - timedelta(days=2), expires_at=house.now + timedelta(days=days))  # fmt: skip
        keys.revoke(actor=house.owner, key_id=ApiKey.objects.get(name="dead").id, now=house.now)

        page = house.signed_in("owner").get(KEYS).content.decode()

        rows = {name: page[page.index(f">{name}<br>") :].split("</tr>")[0] for name in ("fresh", "old", "dead")}
        assert [word for name in rows for word in ("Valid", "Expired", "Revoked") if f">{word}<" in rows[name]] == [
            "Valid",
            "Expired",
            "Revoked",
        ]
        assert ["/revoke/" in row for row in rows.values()] == [True, False, False]

    def test_are_revoked_by_those_who_may(self, house: House) -> None:
        house.secret()
        path = f"{KEYS}{ids.encode('key', ApiKey.objects.get().id)}/revoke/"

        refused, done = house.signed_in("viewer").post(path), house.signed_in("owner").post(path)

        assert (refused.status_code, done.status_code) == (403, 302)
        assert ApiKey.objects.get().revoked_at is not None

    def test_of_strangers_do_not_exist(self, house: House) -> None:
        house.secret(stranger=True)
        browser = house.signed_in("owner")

        answers = [
            browser.post(f"{KEYS}{one}/revoke/").status_code
            for one in (ids.encode("key", ApiKey.objects.get().id), "key_x")
        ]

        assert answers == [404, 404]
        assert ApiKey.objects.get().revoked_at is None


class TestSettings:
    def test_lists_own_members_only(self, house: House) -> None:
        stranger = house.member("owner", organisation_id=house.other_id)

        page = house.signed_in("viewer").get("/settings/").content.decode()

        assert "Viewer" in page and stranger.email not in page

    def test_shows_the_audit_log_to_owners_page_by_page(self, house: House) -> None:
        for number in range(60):
            audit.record(actor=house.owner, action=f"test.n{number}", subject="s", detail={}, now=house.now)
        audit.record(actor=house.stranger, action="test.foreign", subject="s", detail={}, now=house.now)
        browser = house.signed_in("owner")

        first = browser.get("/settings/").content.decode()
        older = re.search(r'rel="next" href="([^"]+)"', first)
        assert older
        second = browser.get("/settings/" + older[1]).content.decode()

        seen = [set(re.findall(r"test\.n\d+", page)) for page in (first, second)]
        assert [len(one) for one in seen] == [50, 10]
        assert len(seen[0] | seen[1]) == 60 and "test.foreign" not in first + second

    def test_keeps_the_audit_log_from_others(self, house: House) -> None:
        audit.record(actor=house.owner, action="test.done", subject="s", detail={}, now=house.now)

        assert "test.done" not in house.signed_in("trader").get("/settings/").content.decode()

    @pytest.mark.parametrize("before", ["x", "-1", "٥", "9" * 30, "0"])
    def test_takes_any_cursor(self, house: House, before: str) -> None:
        assert house.signed_in("owner").get("/settings/", {"before": before}).status_code == 200


class TestDevelopers:
    def test_shows_the_site_s_own_address(self, house: House, settings: Any) -> None:
        settings.SITE_URL = "https://spot.example.com/"

        page = house.signed_in("viewer").get("/developers/").content.decode()

        for address in (
            "https://spot.example.com/api/v1",
            "https://spot.example.com/v1",
            "wss://spot.example.com/ws/v1/market",
        ):
            assert f"<code>{address}</code>" in page
        assert "spot.example.com//" not in page

    def test_shows_commands_that_the_command_line_knows(self) -> None:
        import shlex
        import sys

        sys.path.insert(0, "client")
        from tokenspot_client.cli import _parser

        from accounts.web.examples import examples

        commands = [line for line in dict(examples("http://x")[0])["CLI"].splitlines() if line.startswith("tokenspot ")]
        assert len(commands) == 4
        for line in commands:
            _parser().parse_args(shlex.split(line)[1:])

    def test_shows_python_that_compiles(self) -> None:
        from accounts.web.examples import examples

        for tabs in examples("http://x"):
            compile(dict(tabs)["Python"], "example", "exec")


class TestSignUp:
    def test_is_closed_unless_the_site_opens_it(self, db: None, settings: Any) -> None:
        path, data = reverse("account_signup"), {"email": "new@example.com", "password1": "long enough 42"}
        from accounts.models import User

        Client().post(path, data)
        assert not User.objects.filter(email="new@example.com").exists()

        settings.SIGN_UP_OPEN = True
        Client().post(path, data)
        assert User.objects.filter(email="new@example.com").exists()


class TestAdmin:
    @pytest.fixture
    def staff(self, house: House) -> Client:
        from accounts.models import User

        client = Client()
        user = User.objects.create_superuser("staff@example.com", "p" * 14)
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    @pytest.mark.parametrize("name", ["organisation", "member", "user", "apikey", "auditevent"])
    def test_lists_and_opens_rows(self, house: House, staff: Client, name: str) -> None:
        house.secret()
        house.member("owner")
        from django.apps import apps

        row = apps.get_model("accounts", name).objects.first()

        assert row is not None
        assert staff.get(f"/admin/accounts/{name}/").status_code == 200
        assert staff.get(f"/admin/accounts/{name}/{row.pk}/change/").status_code == 200

    @pytest.mark.parametrize("name", ["apikey", "auditevent"])
    def test_only_reads_keys_and_the_audit_log(self, house: House, staff: Client, name: str) -> None:
        house.secret()
        from django.apps import apps

        row = apps.get_model("accounts", name).objects.get()

        answers = [
            staff.post(f"/admin/accounts/{name}/{path}", {"post": "yes"}).status_code
            for path in ("add/", f"{row.pk}/change/", f"{row.pk}/delete/")
        ]

        assert answers == [403, 403, 403]
        assert row.__class__.objects.count() == 1

    def test_never_shows_the_hash_of_a_secret(self, house: House, staff: Client) -> None:
        house.secret()
        key = ApiKey.objects.get()

        page = staff.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()

        assert "secret_hash" not in page and bytes(key.secret_hash).hex() not in page

    def test_admits_an_organisation_a_person_and_a_membership(self, staff: Client) -> None:
        from accounts.models import Member, Organisation, User

        staff.post(
            "/admin/accounts/organisation/add/", {"name": "New", "kind": "buyer", "state": "active", "language": "en"}
        )
        staff.post(
            "/admin/accounts/user/add/",
            {
                "email": "new@example.com",
                "password1": "long enough 42",
                "password2": "long enough 42",
                "usable_password": "true",
            },
        )
        organisation, user = Organisation.objects.get(name="New"), User.objects.get(email="new@example.com")
        staff.post("/admin/accounts/member/add/", {"user": user.pk, "organisation": organisation.pk, "role": "owner"})

        assert Member.objects.get(user=user).organisation_id == organisation.id
        assert user.check_password("long enough 42")

    def test_is_for_staff_only(self, house: House) -> None:
        assert house.signed_in("owner").get("/admin/accounts/auditevent/").status_code == 302
        assert AuditEvent.objects.count() == 0
