"""The provider's pages, as a signed-in member sees them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from accounts.kernel import ids
from accounts.selectors import clock
from accounts.services import members
from market import selectors as market
from providers import selectors
from providers.kernel import days
from providers.kernel.days import KNOWN_TO
from providers.kernel.schedule import Calendar, Hours, Weekly, covers
from tests.providers.scene import LINE, Scene, build

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return clock.now()


@pytest.fixture
def scene(now: datetime) -> Scene:
    return build(now=now)


def signed_in(client: Client, organisation_id, role: str, now: datetime, language: str = "en") -> Client:
    from django.contrib.auth import get_user_model

    user_id = members.add(
        organisation_id=organisation_id, email=f"{role}@example.com", role=role, now=now, password="x" * 12
    )
    client.force_login(
        get_user_model().objects.get(id=user_id), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    client.cookies["django_language"] = language
    return client


@pytest.fixture
def provider(client: Client, scene: Scene, now: datetime) -> Client:
    return signed_in(client, scene.provider.organisation_id, "provider", now)


@pytest.fixture
def deployment(scene: Scene, now: datetime):
    return scene.deployment(scene.pool(now=now), now=now)


def filled(deployment, /, **change) -> dict:
    return {
        "deployment": str(deployment), "grade": "interactive", "kind": "weekly", "weekdays": list("0123456"),
        "from_hour": "22", "to_hour": "6", "discount": "35", "floor": "1.00", "share": "100", **change,
    }  # fmt: skip


def nights(now: datetime) -> int:
    """How many open windows the filled form covers: one more while one of them is running."""
    night = Weekly(frozenset(range(7)), 22, 6)
    return sum(covers(night, start) for start, _end in market.open_windows(now))


class TestHardware:
    def test_from_nothing_to_a_deployment(self, provider: Client, scene: Scene) -> None:
        assert b"No hardware yet" in provider.get(reverse("providers:hardware")).content

        pool = {
            "name": "Harbour 1",
            "vendor": "huawei",
            "chip": "910B",
            "device_count": "8",
            "region": "cn-east",
            "data_terms": "no-retention",
        }
        assert provider.post(reverse("providers:new_pool"), pool).status_code == 302
        pool_id = selectors.pools_of(scene.provider)[0].id
        body = {
            "pool": str(pool_id),
            "line": LINE,
            "served_format": "fp16",
            "endpoint_url": "https://engine.example.com/v1",
            "rate": "1200",
            "share": "50",
            "api_key": "s3cret-engine",
        }
        assert provider.post(reverse("providers:new_deployment"), body).status_code == 302

        page = provider.get(reverse("providers:hardware")).content.decode()
        assert "Huawei Ascend" in page and "1,200" in page and "https://engine.example.com" in page
        assert "s3cret-engine" not in page

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"endpoint_url": "http://127.0.0.1:8000"}, "public https"), ({"served_format": "fp8"}, "coarser"), ({"rate": "0"}, "greater than"),
         ({"pool": "nonsense"}, "valid choice")],
    )  # fmt: skip
    def test_a_wrong_field_says_so_and_keeps_what_was_typed(
        self, provider: Client, scene: Scene, now, change, message
    ) -> None:
        pool_id = scene.pool(now=now)
        body = {
            "pool": str(pool_id),
            "line": LINE,
            "served_format": "fp16",
            "endpoint_url": "https://typed.example.com",
            "rate": "1200",
            "share": "50",
            **change,
        }

        answer = provider.post(reverse("providers:new_deployment"), body)

        assert answer.status_code == 422
        assert message in answer.content.decode()
        assert body["endpoint_url"] in answer.content.decode()
        assert selectors.deployments_of(scene.provider) == []


class TestOffers:
    def test_from_the_form_into_the_book(self, provider: Client, scene: Scene, deployment, now) -> None:
        preview = provider.post(reverse("providers:preview_offer"), filled(deployment)).content.decode()
        assert "2.16" in preview and "3.6M" in preview

        answer = provider.post(reverse("providers:new_offer"), {**filled(deployment), "action": "post"}, follow=True)

        page = answer.content.decode()
        assert "The offer is live" in page and "22:00–06:00" in page
        assert market.open_count(scene.provider) == nights(now)
        assert "22:00–06:00" in provider.get(reverse("providers:offers")).content.decode()

    def test_a_draft_is_posted_paused_and_withdrawn_by_buttons(
        self, provider: Client, scene: Scene, deployment, now
    ) -> None:
        provider.post(reverse("providers:new_offer"), filled(deployment))
        plan = selectors.plans_of(scene.provider, now=now)[0]
        address = ids.encode("off", plan.id)
        assert plan.state == "draft"

        for action, state, count in (
            ("post", "live", nights(now)),
            ("pause", "paused", 0),
            ("post", "live", nights(now)),
            ("withdraw", "withdrawn", 0),
        ):
            assert provider.post(reverse(f"providers:{action}_offer", args=[address])).status_code == 302
            assert selectors.plan(plan.id, scene.provider, now=now).state == state
            assert market.open_count(scene.provider) == count

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"floor": "1.005"}, "multiple of CN¥0.01"), ({"floor": "x"}, "number"), ({"discount": "100"}, "99.99"), ({"weekdays": []}, "one day"),
         ({"to_hour": "22"}, "same time"), ({"kind": "once", "window": ""}, "window"), ({"share": "0"}, "0.01"), ({"floor": "NaN"}, "number"),
         ({"deployment": "nonsense"}, "valid choice")],
    )  # fmt: skip
    def test_a_wrong_field_says_so_and_writes_nothing(
        self, provider: Client, scene: Scene, deployment, now, change, message
    ) -> None:
        answer = provider.post(reverse("providers:new_offer"), filled(deployment, **change))

        assert answer.status_code == 422
        assert message in answer.content.decode()
        assert selectors.plans_of(scene.provider, now=now) == []

    def test_the_preview_shows_the_book_and_the_past(self, provider: Client, scene: Scene, deployment, now) -> None:
        answer = provider.post(
            reverse("providers:preview_offer"), filled(deployment), headers={"hx-request": "true"}
        ).content.decode()

        assert "Your offer over today" in answer and 'data-chart="supply-demand"' in answer
        assert "Your offer 2.16" in answer
        assert "What it would have sold" in answer and "nothing to compare with" in answer
        assert "Past rounds promise nothing" in answer

    def test_the_preview_says_how_much_would_have_sold_at_most(
        self, provider: Client, scene: Scene, deployment, now, monkeypatch
    ) -> None:
        start = market.open_windows(now)[3][0]
        once = {"kind": "once", "window": start.isoformat()}
        provider.post(reverse("providers:new_offer"), {**filled(deployment, **once), "action": "post"})
        scene.buy(start, 36_000, 3_000_000, now=now)
        scene.clear(now=now + timedelta(seconds=6))
        monkeypatch.setattr(clock, "now", lambda: now + timedelta(seconds=7))

        page = provider.post(reverse("providers:preview_offer"), filled(deployment, **once)).content.decode()

        assert "of 1 hour that traded" in page and "1 % of what you would have offered" in page
        assert "the same hour of every day" in page
        assert "This offer would add nothing there" in page  # its twin is posted already

    def test_without_scripts_a_button_previews_and_nothing_is_saved(
        self, provider: Client, scene: Scene, deployment, now
    ) -> None:
        night = Weekly(frozenset(range(7)), 22, 6)
        last = [start for start, _ in market.open_windows(now) if covers(night, start)][-1]
        body = {**filled(deployment), "action": "preview", "over": last.isoformat()}

        answer = provider.post(reverse("providers:new_offer"), body)

        page = answer.content.decode()
        assert answer.status_code == 200
        assert f'<option value="{last.isoformat()}" selected>' in page
        assert "Your offer 2.16" in page and "data-chart" not in page  # a table, as nothing would draw the chart
        assert 'value="35"' in page
        assert selectors.plans_of(scene.provider, now=now) == []

    def test_a_preview_without_a_floor_says_what_is_missing(self, provider: Client, scene: Scene, deployment) -> None:
        body = {**filled(deployment, floor=""), "action": "preview"}

        answer = provider.post(reverse("providers:new_offer"), body)

        assert answer.status_code == 422
        assert "This field is required" in answer.content.decode()

    def test_working_days_and_days_off_have_their_own_hours(
        self, provider: Client, scene: Scene, deployment, now
    ) -> None:
        fields = {"kind": "calendar", "workday_from": "1", "workday_to": "7", "restday_from": "0", "restday_to": "24"}
        form = provider.get(reverse("providers:new_offer")).content.decode()
        assert f"known to the end of {KNOWN_TO}" in form

        preview = provider.post(reverse("providers:preview_offer"), filled(deployment, **fields)).content.decode()
        assert "orking day" in preview or "Weekend" in preview or "Public holiday" in preview

        page = provider.post(reverse("providers:new_offer"), filled(deployment, **fields), follow=True).content.decode()
        assert "01:00–07:00" in page and "working days" in page
        assert "00:00–24:00" in page and "weekends and public holidays" in page
        assert selectors.plans_of(scene.provider, now=now)[0].schedule == Calendar(Hours(1, 7), Hours(0, 24))

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"workday_from": "", "workday_to": ""}, "of days off, or both"), ({"workday_to": ""}, "both hours"), ({"restday_to": "3"}, "both hours"),
         ({"workday_to": "1"}, "same time")],
    )  # fmt: skip
    def test_days_without_hours_say_so(self, provider: Client, scene: Scene, deployment, now, change, message) -> None:
        fields = {"kind": "calendar", "workday_from": "1", "workday_to": "7", **change}

        answer = provider.post(reverse("providers:new_offer"), filled(deployment, **fields))

        assert answer.status_code == 422
        assert message in answer.content.decode()
        assert selectors.plans_of(scene.provider, now=now) == []

    def test_a_year_without_published_holidays_is_said_in_the_preview(
        self, provider: Client, deployment, monkeypatch
    ) -> None:
        monkeypatch.setattr(days, "_KNOWN", frozenset())
        fields = {"kind": "calendar", "workday_from": "0", "workday_to": "24", "restday_from": "0", "restday_to": "24"}

        told = provider.post(reverse("providers:preview_offer"), filled(deployment, **fields)).content.decode()
        weekly = provider.post(reverse("providers:preview_offer"), filled(deployment)).content.decode()

        assert "not published yet" in told
        assert "not published yet" not in weekly

    def test_without_hardware_the_first_step_is_named(self, provider: Client) -> None:
        for name in ("offers", "new_offer"):
            assert b"Hardware first" in provider.get(reverse(f"providers:{name}")).content

    def test_the_words_are_chinese_for_a_chinese_reader(self, client: Client, scene: Scene, deployment, now) -> None:
        chinese = signed_in(client, scene.provider.organisation_id, "provider", now, language="zh-hans")

        page = chinese.get(reverse("providers:new_offer")).content.decode()

        assert 'lang="zh-Hans"' in page
        assert "底价" in page


class TestRights:
    def test_a_stranger_is_asked_to_sign_in(self, client: Client) -> None:
        for name in ("offers", "new_offer", "hardware", "new_pool", "new_deployment"):
            assert client.get(reverse(f"providers:{name}")).status_code == 302

    def test_a_viewer_looks_but_does_not_touch(self, client: Client, scene: Scene, deployment, now) -> None:
        viewer = signed_in(client, scene.provider.organisation_id, "viewer", now)

        assert viewer.get(reverse("providers:offers")).status_code == 200
        assert viewer.get(reverse("providers:new_offer")).status_code == 403
        assert viewer.post(reverse("providers:new_offer"), filled(deployment)).status_code == 403
        assert b"New offer" not in viewer.get(reverse("providers:offers")).content

    def test_another_providers_offer_does_not_exist(self, client: Client, scene: Scene, deployment, now) -> None:
        from accounts.services import organisations

        mine = signed_in(client, scene.provider.organisation_id, "provider", now)
        mine.post(reverse("providers:new_offer"), filled(deployment))
        address = ids.encode("off", selectors.plans_of(scene.provider, now=now)[0].id)
        other = organisations.create(name="Other", kind="provider", now=now + timedelta(seconds=1))
        stranger = signed_in(Client(), other, "owner", now)

        assert stranger.get(reverse("providers:offer", args=[address])).status_code == 404
        assert stranger.post(reverse("providers:withdraw_offer", args=[address])).status_code == 404
        assert stranger.get(reverse("providers:offer", args=["nonsense"])).status_code == 404
