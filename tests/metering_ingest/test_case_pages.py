"""Pages of quarantine, conflicts and gaps: each party its own, staff all, and what may be done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.services import members
from metering_ingest.models import Quarantined, Resolution
from metering_ingest.web.labels import FIELDS, QUARANTINE
from tests.billing.scene import signed_in as session
from tests.metering_ingest.faces import AT, Agent, body, here, record
from tests.metering_ingest.scene import Bought, build
from tests.providers.signing import registered

QUARANTINE_PAGE, CONFLICTS_PAGE = "/metering/quarantine/", "/metering/conflicts/"


@pytest.fixture
def bought(db: None, monkeypatch: pytest.MonkeyPatch) -> Bought:
    here(monkeypatch)
    return build()


@pytest.fixture
def agent(bought: Bought) -> Agent:
    return Agent(registered(bought.provider, now=AT)[0])


def staff_of(bought: Bought) -> Client:
    """A person of the operator's staff in a browser."""
    user_id = members.add(
        organisation_id=bought.operator.organisation_id, email="staff@x.example", role="owner", is_staff=True, now=AT
    )
    client = Client()
    client.force_login(User.objects.get(id=user_id))
    return client


def page(client: Client, path: str, **query: Any) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200
    return answer.content.decode()


class TestQuarantine:
    def test_shows_own_records_with_the_reason_in_words(self, agent: Agent, bought: Bought) -> None:
        agent.post(body(record(bought.allocations[0], "q<b>", 1, card="none")))

        clients = {who: session(getattr(bought, who), "owner") for who in ("provider", "buyer", "stranger")}
        for who, client in {**clients, "staff": staff_of(bought)}.items():
            sees = who in {"provider", "staff"}
            text = page(client, QUARANTINE_PAGE)
            assert ("q&lt;b&gt;" in text) is sees, who
            assert ("the allocation was sold under" in text) is sees
            assert ("Nothing is set aside" in text) is not sees
        assert "q<b>" not in page(session(bought.provider, "owner"), QUARANTINE_PAGE)

    def test_staff_release_what_came_too_late(
        self, agent: Agent, bought: Bought, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        late = AT + timedelta(days=40)
        here(monkeypatch, at=late)
        Agent(agent.signer, late).post(body(record(bought.allocations[0], "a", 1)))
        key = Quarantined.objects.get().key.hex
        staff, provider = staff_of(bought), session(bought.provider, "owner")

        refused = provider.post(f"{QUARANTINE_PAGE}{key}/release/", follow=True).content.decode()
        assert "Judged again, the record still does not count. It came more than 35 days" in refused
        assert "The record counts now." in staff.post(f"{QUARANTINE_PAGE}{key}/release/", follow=True).content.decode()
        assert Resolution.objects.get().action == "released"
        again = staff.post(f"{QUARANTINE_PAGE}{key}/reject/", {"reason": "x"}, follow=True).content.decode()
        assert "released or rejected before" in again

    def test_a_rejection_says_why_and_is_of_those_who_may(self, agent: Agent, bought: Bought) -> None:
        agent.post(body(record(bought.allocations[0], "a", 1, card="none")))
        address = f"{QUARANTINE_PAGE}{Quarantined.objects.get().key.hex}/reject/"
        owner, viewer = session(bought.provider, "owner"), session(bought.provider, "viewer")

        assert "Say why" in owner.post(address, {"reason": " "}, follow=True).content.decode()
        assert viewer.post(address, {"reason": "x"}).status_code == 403
        assert "Judge again" not in page(viewer, QUARANTINE_PAGE)
        assert session(bought.buyer, "owner").post(address, {"reason": "x"}).status_code == 404
        assert owner.post(f"{QUARANTINE_PAGE}x/reject/", {"reason": "x"}).status_code == 404
        assert not Resolution.objects.exists()
        owner.post(address, {"reason": "a wrong card"})
        assert Resolution.objects.get().reason == "a wrong card"

    def test_every_page_of_many(self, agent: Agent, bought: Bought, monkeypatch: pytest.MonkeyPatch) -> None:
        from metering_ingest.web import cases

        monkeypatch.setattr(cases, "_PAGE", 2)
        agent.post(body(*(record(bought.allocations[0], f"id-{n}", n, card="none") for n in range(1, 4))))
        client = session(bought.provider, "owner")

        first = page(client, QUARANTINE_PAGE)
        cursor = first.split("?cursor=")[1].split('"')[0]

        assert sum(f">id-{n}<" in first + page(client, QUARANTINE_PAGE, cursor=cursor) for n in range(1, 4)) == 3
        assert client.get(QUARANTINE_PAGE, {"cursor": "x"}).status_code == 302

    def test_every_reason_has_words(self) -> None:
        import inspect

        from metering_ingest.kernel import classify

        source = inspect.getsource(classify)
        for reason in QUARANTINE:
            assert f'"{reason}"' in source


class TestConflicts:
    def test_both_contents_stand_side_by_side(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]
        agent.post(body(record(allocation, "a", 1, prompt_tokens=4321)))
        agent.post(body(record(allocation, "a", 2, prompt_tokens=7654), record(allocation, "b", 1)))

        text = page(session(bought.provider, "owner"), CONFLICTS_PAGE)

        assert "4321" in text and "7654" in text
        assert "Same id, other content" in text and "a sequence that was taken" in text
        assert "No conflicts" in page(session(bought.buyer, "owner"), CONFLICTS_PAGE)
        assert "7654" in page(staff_of(bought), CONFLICTS_PAGE)

    def test_the_first_may_be_set_aside_or_a_void(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]
        void = {"id": "v", "time": "2026-11-24T16:01:30Z", "voids": {"source": "agent", "id": "a"}}
        agent.post(body(record(allocation, "a", 1, card="none"), {**void, "seq": 2}))
        agent.post(body(record(allocation, "a", 3, prompt_tokens=7654), record(allocation, "v", 4)))

        text = page(session(bought.provider, "owner"), CONFLICTS_PAGE)

        assert text.count("differs") > 2 and ">none<" in text

    def test_every_field_of_an_event_has_a_label(self) -> None:
        from metering_ingest.kernel.events import UsageEvent

        assert {*FIELDS} == {*UsageEvent.__struct_fields__} - {"type"}


class TestGaps:
    def test_of_each_agent_and_epoch_trailing_ones_too(self, agent: Agent, bought: Bought) -> None:
        checkpoint = {"seq": 9, "records": 9, "prompt_tokens": 0, "completion_tokens": 0, "closed": False}
        agent.post(body(record(bought.allocations[0], "r3", 3), epoch="boot-1", checkpoint=checkpoint))

        text = page(session(bought.provider, "owner"), "/metering/gaps/")

        assert "boot-1" in text and "1–2, 4–9" in text and "6 at the end" in text
        assert "boot-1" not in page(session(bought.stranger, "owner"), "/metering/gaps/")
        assert "/metering/gaps/" in page(session(bought.provider, "owner"), "/provider/agents/")


class TestAgents:
    def test_a_command_is_ready_made_and_a_pool_can_be_chosen(self, bought: Bought, settings: Any) -> None:
        from accounts.kernel import ids
        from providers import selectors
        from providers.models import Agent as AgentRow

        settings.SITE_URL = "https://market.example"
        client = session(bought.provider, "owner")
        (pool,) = selectors.pools_of(bought.provider)
        public_id = ids.encode("pol", pool.id)

        assert public_id in page(client, "/provider/agents/")
        made = client.post("/provider/agents/", {"name": "rack", "pool": public_id}).content.decode()
        assert "tokenspot agent register --url https://market.example --token tsreg_" in made
        assert AgentRow.objects.get().pool_id == pool.id
        for wrong in ("pol_x", ids.encode("pol", bought.buyer.organisation_id)):
            assert client.post("/provider/agents/", {"name": "other", "pool": wrong}).status_code == 422


@pytest.mark.parametrize("path", [QUARANTINE_PAGE, CONFLICTS_PAGE, "/metering/gaps/"])
def test_asks_for_a_sign_in_and_speaks_chinese(bought: Bought, path: str) -> None:
    assert Client().get(path).status_code == 302
    client = session(bought.provider, "viewer")
    client.cookies["django_language"] = "zh-hans"
    assert client.get(path).status_code == 200
