"""Receipts, conflicts, quarantine and gaps over REST; releasing and rejecting; and that each rule of `verify` finds its breach."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from accounts.kernel import ids
from metering_ingest import selectors, services
from metering_ingest.models import Quarantined, Resolution, UsageRecord
from metering_ingest.services.resolving import NeedsReason, ResolvedBefore, StillRefused
from providers.models import Agent as AgentRow
from tests.metering_ingest.faces import AT, Agent, body, here, record
from tests.metering_ingest.scene import NOW, Bought, build, event
from tests.providers.signing import registered
from tests.providers.test_api import Api


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch)


@pytest.fixture
def agent(bought: Bought) -> Agent:
    return Agent(registered(bought.provider, now=AT)[0])


@pytest.fixture
def api(bought: Bought) -> Api:
    return Api(bought.provider, "usage:read", "usage:write", now=NOW)


VOID = {"id": "v1", "time": "2026-11-24T16:01:30Z", "voids": {"source": "agent", "id": "a"}}


class TestReading:
    def test_a_receipt_is_its_owners(self, agent: Agent, api: Api, bought: Bought) -> None:
        (result,) = agent.post(body(record(bought.allocations[0], "a", 1))).json()["results"]

        found = api.get(f"/usage-records/{result['record']}").json()

        assert (found["standing"], found["content"], found["evidence"]) == ("counted", result["content"], "signed")
        assert int(found["micro_st"]) > 0
        stranger = Api(bought.buyer, "usage:read", now=NOW)
        assert stranger.get(f"/usage-records/{result['record']}").status_code == 404
        assert api.get("/usage-records/" + "0" * 32).status_code == api.get("/usage-records/x").status_code == 404

    def test_a_receipt_says_what_became_of_it(self, agent: Agent, api: Api, bought: Bought) -> None:
        made = agent.post(body(record(bought.allocations[0], "a", 1), {**VOID, "seq": 2})).json()["results"]

        assert [api.get(f"/usage-records/{one['record']}").json()["standing"] for one in made] == ["voided", "void"]

    def test_conflicts_by_cursor(self, agent: Agent, api: Api, bought: Bought, monkeypatch: pytest.MonkeyPatch) -> None:
        from metering_ingest.api import views

        monkeypatch.setattr(views, "_LIMIT", 2)
        allocation = bought.allocations[0]
        agent.post(body(*(record(allocation, f"r{n}", n) for n in range(1, 6))))
        agent.post(body(*(record(allocation, f"r{n}", n, prompt_tokens=7) for n in range(1, 6))))

        seen, following = [], ""
        while following is not None:
            page = api.get("/metering/conflicts" + (f"?cursor={following}" if following else "")).json()
            seen += [one["event"]["id"] for one in page["data"]]
            following = page["next"]

        assert seen == ["r5", "r4", "r3", "r2", "r1"]
        assert api.get("/metering/conflicts?cursor=x").status_code == 400
        assert Api(bought.buyer, "usage:read", now=NOW).get("/metering/conflicts").json()["data"] == []

    def test_quarantine_by_cursor(
        self, agent: Agent, api: Api, bought: Bought, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from metering_ingest.api import views

        monkeypatch.setattr(views, "_LIMIT", 2)
        agent.post(body(*(record(bought.allocations[0], f"r{n}", n, card="none") for n in range(1, 6))))

        seen, following = [], ""
        while following is not None:
            page = api.get("/metering/quarantine" + (f"?cursor={following}" if following else "")).json()
            seen += [one["event"]["id"] for one in page["data"]]
            following = page["next"]

        assert sorted(seen) == [f"r{n}" for n in range(1, 6)]
        assert api.get("/metering/quarantine?cursor=1_x").status_code == 400

    def test_gaps_of_the_own_agents(self, agent: Agent, api: Api, bought: Bought) -> None:
        agent.post(body(record(bought.allocations[0], "r3", 3)))

        (found,) = api.get("/metering/gaps").json()["data"]

        assert (found["agent"], found["gaps"], found["missing"]) == (
            ids.encode("agt", AgentRow.objects.get().id),
            [[1, 2]],
            2,
        )
        assert Api(bought.buyer, "usage:read", now=NOW).get("/metering/gaps").json()["data"] == []


class TestResolving:
    def test_released_counts_as_of_its_arrival(self, bought: Bought) -> None:
        services.ingest_records(
            [event(bought.allocations[0], "q1", at=AT + timedelta(minutes=20))], sender=bought.operator, now=AT
        )
        row = Quarantined.objects.get()
        assert row.reason == "future_time"

        with pytest.raises(StillRefused):
            services.release(row.key, reason="clock", actor=bought.operator, now=AT)
        services.release(row.key, reason="clock", actor=bought.operator, now=AT + timedelta(minutes=21))

        stored = UsageRecord.objects.get()
        assert (stored.received_at, selectors.totals().records) == (AT, 1)
        assert selectors.quarantined(bought.operator) == []
        assert selectors.receipt(row.key, bought.operator).standing == "counted"
        with pytest.raises(ResolvedBefore):
            services.reject(row.key, reason="x", actor=bought.operator, now=AT)
        assert selectors.verify() == []

    def test_a_void_that_waits_takes_back_what_is_released(self, bought: Bought) -> None:
        from msgspec.structs import replace

        from metering_ingest.kernel.events import Voided

        one = event(bought.allocations[0], "q1", at=AT + timedelta(minutes=20))
        void = replace(event(bought.allocations[0], "v1"), voids=Voided(one.source, one.id))
        services.ingest_records([one, void], sender=bought.operator, now=AT)

        services.release(
            Quarantined.objects.get().key, reason="x", actor=bought.operator, now=AT + timedelta(minutes=21)
        )

        assert selectors.buckets_of([one.allocation_id])[0].micro_st == 0
        assert selectors.verify() == []

    def test_rejected_is_listed_no_more_and_never_counts(self, bought: Bought) -> None:
        services.ingest_records([event(bought.allocations[0], "q1", card="none")], sender=bought.operator, now=AT)
        row = Quarantined.objects.get()

        with pytest.raises(NeedsReason):
            services.reject(row.key, reason=" ", actor=bought.operator, now=AT)
        services.reject(row.key, reason="a wrong card", actor=bought.operator, now=AT)

        assert selectors.quarantined(bought.operator) == []
        assert selectors.receipt(row.key, bought.operator).reason == "a wrong card"
        assert Resolution.objects.get().action == "rejected"
        assert selectors.verify() == []

    def test_over_rest(self, agent: Agent, api: Api, bought: Bought) -> None:
        agent.post(body(record(bought.allocations[0], "a", 1, card="none")))
        key = Quarantined.objects.get().key.hex

        refused = api.post(f"/metering/quarantine/{key}/release", {"reason": "x"})
        done = api.post(f"/metering/quarantine/{key}/reject", {"reason": "x"})

        assert (refused.status_code, refused.json()["code"]) == (422, "still_refused")
        assert done.json()["standing"] == "rejected"
        assert api.post(f"/metering/quarantine/{key}/reject", {"reason": "x"}).json()["code"] == "resolved_before"
        foreign = Api(bought.buyer, "usage:read", now=NOW)
        assert foreign.post(f"/metering/quarantine/{key}/reject", {"reason": "x"}).status_code in {403, 404}


class TestVerify:
    @pytest.mark.parametrize(
        ("rule", "sql"),
        [
            ("roll-up = raw", "UPDATE metering_bucket SET micro_st = micro_st + 1"),
            ("roll-up = raw", "DELETE FROM metering_reversal"),
            ("one key, one record", "DELETE FROM metering_usage_record WHERE event_id = 'b'"),
            ("one key, one record", "DELETE FROM metering_void"),
            ("reversed = recorded", "UPDATE metering_reversal SET micro_st = micro_st - 1"),
            ("reversed = recorded", "UPDATE metering_void SET voided_key = gen_random_uuid()"),
            ("voided = reversed", "DELETE FROM metering_reversal"),
            ("received = sequences", "DELETE FROM metering_sequence WHERE seq = 2"),
            ("received = sequences", "UPDATE metering_epoch SET received = received - '{[1,2)}'::int8multirange"),
            ("a sequence is of a record", "UPDATE metering_sequence SET key = gen_random_uuid() WHERE seq = 2"),
            (
                "released = counted",
                "INSERT INTO metering_resolution SELECT key, 'released', 'x', tenant, NULL, now() FROM metering_quarantine",
            ),
        ],
    )
    def test_each_rule_finds_its_breach(self, agent: Agent, bought: Bought, rule: str, sql: str) -> None:
        allocation = bought.allocations[0]
        agent.post(
            body(
                record(allocation, "a", 1),
                record(allocation, "b", 2),
                {**VOID, "seq": 3},
                record(allocation, "c", 4, card="none"),
            )
        )
        assert selectors.verify() == []

        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL session_replication_role = replica")
            cursor.execute(sql)

        assert rule in {breach.rule for breach in selectors.verify()}

    @pytest.mark.parametrize(
        "table",
        [
            "sequence",
            "checkpoint",
            "void",
            "reversal",
            "resolution",
            "quarantine",
            "conflict",
            "usage_record",
            "usage_key",
        ],
    )
    def test_rows_are_only_ever_added(self, bought: Bought, table: str) -> None:
        from django.db import IntegrityError, transaction

        with connection.cursor() as cursor:
            for sql in (f"TRUNCATE metering_{table} CASCADE",):
                with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
                    cursor.execute(sql)
