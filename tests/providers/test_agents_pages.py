"""The page of agents: a token shown once, and what ends an agent."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from django.test import Client
from django.urls import reverse

from accounts.kernel import ids
from accounts.selectors import clock
from providers import selectors, services
from tests.providers.scene import Scene, build
from tests.providers.signing import Signer, registered
from tests.providers.test_pages import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return clock.now()


@pytest.fixture
def scene(now: datetime) -> Scene:
    return build(now=now)


@pytest.fixture
def provider(client: Client, scene: Scene, now: datetime) -> Client:
    return signed_in(client, scene.provider.organisation_id, "provider", now)


def test_a_token_is_shown_once_and_registers(provider: Client, scene: Scene, now: datetime) -> None:
    page = provider.post(reverse("providers:agents"), {"name": "rack 7"})

    token = re.search(r"tsreg_[A-Za-z0-9_-]{43}", page.content.decode())
    assert token and page.headers["cache-control"] == "no-store"
    again = provider.get(reverse("providers:agents")).content.decode()
    assert "tsreg_" not in again and "Not registered yet" in again
    services.agents.register(token=token[0], public_key=Signer().public, version="1.2.3", now=now)
    assert "1.2.3" in provider.get(reverse("providers:agents")).content.decode()


def test_parking_says_why_and_revoking_is_for_good(provider: Client, scene: Scene, now: datetime) -> None:
    _, done = registered(scene.provider, now=now)
    agent = ids.encode("agt", done.agent_id)

    provider.post(reverse("providers:park_agent", args=[agent]), {"reason": ""})
    assert selectors.agent_of(done.agent_id, scene.provider).state == "active"
    provider.post(reverse("providers:park_agent", args=[agent]), {"reason": "its clock <b>"})
    assert "its clock &lt;b&gt;" in provider.get(reverse("providers:agents")).content.decode()
    provider.post(reverse("providers:release_agent", args=[agent]))
    assert selectors.agent_of(done.agent_id, scene.provider).state == "active"
    provider.post(reverse("providers:revoke_agent", args=[agent]))
    assert selectors.agent_of(done.agent_id, scene.provider).state == "revoked"
    assert (
        "not possible any more"
        in provider.post(reverse("providers:agent_token", args=[agent]), follow=True).content.decode()
    )
    assert provider.post(reverse("providers:revoke_agent", args=["agt_x"])).status_code == 404


def test_a_viewer_looks_but_does_not_touch(client: Client, scene: Scene, now: datetime) -> None:
    viewer = signed_in(client, scene.provider.organisation_id, "viewer", now)
    _, done = registered(scene.provider, now=now)

    page = viewer.get(reverse("providers:agents")).content.decode()

    assert "agent one" in page and "Make an agent" not in page
    assert viewer.post(reverse("providers:agents"), {"name": "x"}).status_code == 403
    assert viewer.post(reverse("providers:revoke_agent", args=[ids.encode("agt", done.agent_id)])).status_code == 403


def test_the_words_are_chinese_for_a_chinese_reader(client: Client, scene: Scene, now: datetime) -> None:
    chinese = signed_in(client, scene.provider.organisation_id, "provider", now, language="zh-hans")

    assert "代理" in chinese.get(reverse("providers:agents")).content.decode()
