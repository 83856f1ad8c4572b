"""Requests that come together: one commit for many, each its own answer, a nonce spent once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from metering_ingest import asgi, selectors
from metering_ingest.asgi import work
from metering_ingest.asgi.collector import MOST_BYTES
from metering_ingest.models import UsageRecord
from tests.metering_ingest.faces import AT, HOST, RECORDS, Agent, body, collecting, post, record
from tests.metering_ingest.scene import Bought
from tests.providers.signing import registered
from tests.races.thread.conftest import bought, triggers_back

__all__ = ["bought", "triggers_back"]


@pytest.fixture(autouse=True)
def _collecting(bought: Bought, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with collecting(monkeypatch, workers=2):
        yield


@pytest.fixture
def agent(bought: Bought) -> Agent:
    return Agent(registered(bought.provider, now=AT)[0])


def results(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["result"] for one in answer.json()["results"]]


class TestGroups:
    def test_concurrent_records_share_commits_and_each_has_its_answer(
        self, agent: Agent, bought: Bought, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commits: list[int] = []
        whole = work._commit
        monkeypatch.setattr(work, "_commit", lambda group, now: (commits.append(len(group)), whole(group, now))[1])
        allocation = bought.allocations[0]

        async def all_at_once() -> list:
            sent = [agent.send(body(record(allocation, f"r{n}", n))) for n in range(1, 41)]
            bad = [
                agent.send(b"{"),
                agent.send(body(), change={"signature": ""}),
                agent.send(body(record(allocation, "bad", 41, prompt_tokens=-1))),
            ]
            return await asyncio.gather(*sent, *bad)

        answers = asyncio.run(all_at_once())

        assert [results(answer) for answer in answers[:40]] == [["accepted"]] * 40
        assert [answer.json()["results"][0]["sequence"] for answer in answers[:40]] == list(range(1, 41))
        assert [answer.status_code for answer in answers[40:]] == [400, 401, 200]
        assert results(answers[42]) == ["rejected"]
        assert len(commits) < 12
        assert selectors.totals(meter="agent").records == 40
        assert selectors.verify() == []

    def test_one_that_the_database_refuses_does_not_fail_the_others(
        self, agent: Agent, bought: Bought, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = work.services.take

        def refusing(submissions, *, now):
            if any(one.records and one.records[0].id == "bad" for one in submissions):
                raise ValueError("a fault of ours")
            return taken(submissions, now=now)

        monkeypatch.setattr(work.services, "take", refusing)
        allocation = bought.allocations[0]

        async def all_at_once() -> list:
            return await asyncio.gather(
                *(agent.send(body(record(allocation, name, n))) for n, name in enumerate(["a", "b", "bad", "c"], 1))
            )

        assert [answer.status_code for answer in asyncio.run(all_at_once())] == [200, 200, 500, 200]
        assert UsageRecord.objects.count() == 3

    def test_a_request_sent_twice_is_taken_once(self, agent: Agent, bought: Bought) -> None:
        raw = json.dumps(body(record(bought.allocations[0], "a", 1))).encode()
        headers = agent.signer.headers("POST", HOST + RECORDS, raw, at=AT)

        async def both() -> list:
            return await asyncio.gather(*(post(raw, headers, RECORDS) for _ in range(3)))

        answers = asyncio.run(both())

        assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
        assert {answer.json().get("reason") for answer in answers if answer.status_code == 401} == {"replayed"}

    def test_503_while_too_much_waits(self, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(asgi.collector, "_bytes", MOST_BYTES)
        answer = asyncio.run(agent.send(body()))

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
