"""Usage records from agents that sign: receipts, sequences and gaps, voids, and every refusal by its code."""

from __future__ import annotations

import gzip
import json
import random

import pytest

from accounts import services as accounts
from metering_ingest import selectors
from metering_ingest.models import Bucket, Checkpoint, Conflict, Quarantined, Reversal, UsageRecord
from providers import services as providers
from providers.models import Agent as AgentRow
from tests.metering_ingest.faces import AT, EVENTS, HOST, RECORDS, Agent, body, by_key, here, record
from tests.metering_ingest.scene import NOW, Bought, build, cloud_event
from tests.providers.signing import Signer, registered


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch)


@pytest.fixture
def agent(bought: Bought) -> Agent:
    return Agent(registered(bought.provider, now=AT)[0])


def results(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["result"] for one in answer.json()["results"]]


class TestReceipts:
    def test_signed_records_are_stored_with_their_evidence(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]

        answer = agent.post(
            body(record(allocation, "a", 1, gpu_seconds="0.25", served_format="fp16"), record(allocation, "b", 2))
        )

        assert results(answer) == ["accepted", "accepted"]
        first, second = answer.json()["results"]
        stored = UsageRecord.objects.get(event_id="a")
        assert (first["record"], first["sequence"]) == (stored.key.hex, 1) and first["content"] != second["content"]
        assert (stored.meter, stored.evidence, stored.counted_by, stored.gpu_micros) == (
            "agent",
            "signed",
            "usage",
            250_000,
        )
        assert stored.agent_id == AgentRow.objects.get().id and stored.served_format == "fp16"
        assert answer.json()["gaps"] == []
        assert selectors.verify() == []

    def test_a_bearer_key_leaves_out_epoch_and_sequence(self, bought: Bought) -> None:
        secret = accounts.keys.create(actor=bought.buyer, name="k", scopes=["usage:write"], now=NOW).secret
        allocation = bought.allocations[0]

        assert results(by_key(secret, {"records": [record(allocation, "a")]})) == ["accepted"]
        refused = by_key(secret, body(record(allocation, "b")))
        alone = by_key(secret, {"records": [record(allocation, "c", 5)]})

        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "epoch")
        assert alone.json()["results"][0]["code"] == "not_signed"
        assert UsageRecord.objects.get().evidence == "unsigned"

    def test_both_faces_name_one_record(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]
        event = cloud_event(allocation.id, allocation.card_digest, "a", finish_reason="stop")

        first = agent.post([event], path=EVENTS, change=agent.signer.headers(
            "POST", HOST + EVENTS, json.dumps([event]).encode(), at=AT, content_type="application/cloudevents-batch+json"
        ))  # fmt: skip
        again = agent.post(body(record(allocation, "a", 1, source="gateway/test", request_id="", counted_by=None)))

        assert first.status_code == 204
        assert results(again) == ["replayed"]
        assert UsageRecord.objects.get().evidence == "signed"

    def test_a_bad_record_does_not_keep_the_others_out(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]
        wrong = record(allocation, "b", 2, prompt_tokens=-1)

        answer = agent.post(body(record(allocation, "a", 1), wrong, record(allocation, "c", 3, card="sha256:none")))

        assert results(answer) == ["accepted", "rejected", "quarantined"]
        _, refused, aside = answer.json()["results"]
        assert (refused["id"], refused["field"], refused["code"]) == ("b", "prompt_tokens", "out_of_range")
        assert aside["code"] == "unknown_card"
        assert answer.json()["gaps"] == [[2, 2]]
        assert Quarantined.objects.get().evidence == "signed"
        assert selectors.verify() == []

    def test_gzip_is_read_and_signed_as_it_was_sent(self, agent: Agent, bought: Bought) -> None:
        raw = gzip.compress(json.dumps(body(record(bought.allocations[0], "a", 1))).encode())

        assert results(agent.post(raw, **{"content-encoding": "gzip"})) == ["accepted"]

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (gzip.compress(b" " * 9_000_000), 413),
            (b"\x1f\x8b\x08", 400),
            (gzip.compress(b"{}") + b"x", 400),
            (b"{}", 400),
        ],
    )
    def test_a_bomb_and_damaged_streams_are_refused(self, agent: Agent, raw: bytes, status: int) -> None:
        assert agent.post(raw, **{"content-encoding": "gzip"}).status_code == status

    def test_other_encodings_and_types_are_415(self, agent: Agent) -> None:
        assert agent.post(b"{}", **{"content-encoding": "br"}).status_code == 415
        headers = agent.signer.headers("POST", HOST + RECORDS, b"{}", at=AT, content_type="text/plain")
        assert agent.post(b"{}", change=headers).status_code == 415


class TestSignatures:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"content-digest": f"sha-256=:{'A' * 43}=:"}, "digest"),
            ({"signature": f"sig1=:{'A' * 86}==:"}, "signature"),
            ({"content-type": "application/json;x=1"}, "signature"),
            ({"host": "other.example"}, "signature"),
        ],
    )
    def test_a_tampered_part_is_401_and_stores_nothing(
        self, agent: Agent, bought: Bought, change: dict[str, str], reason: str
    ) -> None:
        answer = agent.post(body(record(bought.allocations[0], "a", 1)), change=change)

        assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (401, "bad_signature", reason)
        assert UsageRecord.objects.count() == 0

    def test_an_unknown_key_is_401_and_a_parked_agent_403(self, agent: Agent, bought: Bought) -> None:
        stranger = Agent(Signer("agk_" + "0" * 26))
        assert stranger.post(body()).json()["reason"] == "unknown_key"

        providers.agents.park(AgentRow.objects.get().id, reason="x", actor=bought.provider, now=AT)
        answer = agent.post(body(record(bought.allocations[0], "a", 1)))
        assert (answer.status_code, answer.json()["code"]) == (403, "agent_parked")


class TestSequences:
    def test_gaps_are_listed_with_the_trailing_one(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]
        checkpoint = {"seq": 9, "records": 9, "prompt_tokens": 900, "completion_tokens": 450, "closed": True}

        agent.post(body(*(record(allocation, f"r{n}", n) for n in (1, 2, 5))))
        answer = agent.post(body(record(allocation, "r6", 6), checkpoint=checkpoint))
        again = agent.post(body(checkpoint=checkpoint))

        assert answer.json()["gaps"] == again.json()["gaps"] == [[3, 4], [7, 9]]
        (epoch,) = selectors.epochs_of([AgentRow.objects.get().id])
        assert (epoch.received, epoch.highest, epoch.missing, epoch.closed) == (4, 6, 5, True)
        assert Checkpoint.objects.count() == 1
        assert agent.post(body(*(record(allocation, f"r{n}", n) for n in (3, 4, 7, 8, 9)))).json()["gaps"] == []
        assert selectors.verify() == []

    def test_a_sequence_with_another_id_is_a_conflict(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]
        agent.post(body(record(allocation, "a", 1)))

        answer = agent.post(body(record(allocation, "b", 1), record(allocation, "c", 2), record(allocation, "d", 2)))

        assert [(one["result"], one["code"]) for one in answer.json()["results"]] == [
            ("conflict", "sequence_taken"), ("accepted", None), ("conflict", "sequence_taken"),
        ]  # fmt: skip
        assert set(Conflict.objects.values_list("kind", flat=True)) == {"sequence"}
        assert selectors.totals(meter="agent").records == 2
        assert selectors.verify() == []

    def test_a_new_epoch_counts_from_one_and_the_same_ids_once(self, agent: Agent, bought: Bought) -> None:
        records = [record(bought.allocations[0], f"r{n}", n) for n in (1, 2, 3)]
        agent.post(body(*records))

        answer = agent.post(body(*records, epoch="e2"))

        assert results(answer) == ["replayed"] * 3 and answer.json()["gaps"] == []
        assert selectors.verify() == []

    def test_content_that_differs_is_a_conflict_with_both_kept(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]
        agent.post(body(record(allocation, "a", 1)))

        answer = agent.post(body(record(allocation, "a", 1, prompt_tokens=7)))

        assert [(one["result"], one["code"]) for one in answer.json()["results"]] == [("conflict", "content_differs")]
        assert Conflict.objects.get().event["prompt_tokens"] == 7
        assert UsageRecord.objects.get().prompt_tokens == 100

    def test_shuffled_doubled_streams_give_the_same_totals(self, agent: Agent, bought: Bought) -> None:
        dice = random.Random(5)
        records = [record(bought.allocations[n % 2], f"r{n}", n, prompt_tokens=n) for n in range(1, 61)]
        stream = records + dice.choices(records, k=20)
        dice.shuffle(stream)

        answers = [agent.post(body(*stream[at : at + 7])) for at in range(0, 80, 7)]

        counted = [one for answer in answers for one in results(answer)]
        assert (counted.count("accepted"), counted.count("replayed")) == (60, 20)
        assert selectors.totals(meter="agent").prompt_tokens == sum(range(1, 61))
        assert selectors.verify() == []


class TestVoids:
    def test_takes_a_record_back_once(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]
        void = {"id": "v1", "time": "2026-11-24T16:01:30Z", "voids": {"source": "agent", "id": "a"}}
        agent.post(body(record(allocation, "a", 1), record(allocation, "b", 2)))

        answers = [agent.post(body({**void, "seq": 3})) for _ in range(2)]
        other = agent.post(body({**void, "id": "v2", "seq": 4}))

        assert [results(answer) for answer in (*answers, other)] == [["accepted"], ["replayed"], ["accepted"]]
        bucket = Bucket.objects.get()
        assert (bucket.records, bucket.prompt_tokens) == (1, 100)
        assert Reversal.objects.count() == 1
        assert selectors.verify() == []

    @pytest.mark.parametrize("together", [True, False])
    def test_that_comes_first_waits_for_its_record(self, agent: Agent, bought: Bought, together: bool) -> None:
        void = {"id": "v1", "time": "2026-11-24T16:01:30Z", "voids": {"source": "agent", "id": "a"}, "seq": 2}
        one = record(bought.allocations[0], "a", 1)

        for some in [(void, one)] if together else [(void,), (one,)]:
            agent.post(body(*some))

        assert Bucket.objects.get().micro_st == 0
        assert selectors.verify() == []

    def test_then_the_same_under_another_id_loses_nothing(self, agent: Agent, bought: Bought) -> None:
        allocation = bought.allocations[0]
        void = {"id": "v1", "time": "2026-11-24T16:01:30Z", "voids": {"source": "agent", "id": "a"}, "seq": 2}
        agent.post(body(record(allocation, "a", 1)))
        before = Bucket.objects.values_list("records", "prompt_tokens", "completion_tokens", "micro_st").get()

        agent.post(body(void, record(allocation, "a2", 3)))

        assert Bucket.objects.values_list("records", "prompt_tokens", "completion_tokens", "micro_st").get() == before
        assert selectors.verify() == []

    def test_under_a_bearer_key_does_not_take_back_what_was_signed(self, agent: Agent, bought: Bought) -> None:
        secret = accounts.keys.create(actor=bought.provider, name="k", scopes=["usage:write"], now=NOW).secret
        agent.post(body(record(bought.allocations[0], "a", 1)))

        by_key(
            secret, {"records": [{"id": "v", "time": "2026-11-24T16:01:30Z", "voids": {"source": "agent", "id": "a"}}]}
        )

        assert Bucket.objects.get().records == 1
        assert selectors.verify() == []

    def test_of_another_organisation_takes_back_nothing(self, agent: Agent, bought: Bought) -> None:
        secret = accounts.keys.create(actor=bought.buyer, name="k", scopes=["usage:write"], now=NOW).secret
        agent.post(body(record(bought.allocations[0], "a", 1)))

        by_key(
            secret, {"records": [{"id": "v", "time": "2026-11-24T16:01:30Z", "voids": {"source": "agent", "id": "a"}}]}
        )

        assert Bucket.objects.get().records == 1
