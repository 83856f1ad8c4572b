"""The bulk path over HTTP: three forms, and every refusal by its code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from django.db import connections

from accounts import services as accounts
from accounts.kernel.actor import Actor
from accounts.selectors import clock
from metering_ingest import asgi, selectors
from metering_ingest.asgi.collector import MOST_BYTES, Collector
from metering_ingest.asgi.work import answer_all, answer_in_fear
from metering_ingest.kernel.events import BATCH, STRUCTURED, TYPE
from metering_ingest.models import Conflict, UsageRecord
from tests.metering_ingest.scene import HOUR, NOW, Bought, cloud_event
from tests.races.thread.conftest import bought, triggers_back

__all__ = ["bought", "triggers_back"]
AT = HOUR + timedelta(minutes=1)
Post = Callable[..., httpx.Response]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One worker at a set time, whose connection is closed afterwards."""
    monkeypatch.setattr(clock, "now", lambda: AT + timedelta(minutes=1))
    collector = Collector(answer_all, answer_in_fear, workers=1)
    monkeypatch.setattr(asgi, "collector", collector)
    yield
    collector.close(connections.close_all)


@pytest.fixture
def post(bought: Bought, pool: None) -> Post:
    def send(body: Any, content_type: str = BATCH, *, by: Actor | None = bought.operator, scope: str = "usage:write",
             method: str = "POST", **headers: str) -> httpx.Response:  # fmt: skip
        if by is not None:
            key = accounts.keys.create(actor=by, name="k", scopes=[scope], now=NOW).secret
            headers.setdefault("authorization", f"Bearer {key}")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return asyncio.run(_send(method, content, {"content-type": content_type, **headers}))

    return send


async def _send(method: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi.application), base_url="http://test") as client:
        return await client.request(method, "/api/v1/events", content=content, headers=headers)


def one(bought: Bought, name: str = "a", **data: Any) -> dict[str, Any]:
    return cloud_event(bought.allocations[0].id, bought.digest, name, **data)


class TestAnswers:
    def test_204_once_the_batch_is_committed_and_204_again(self, bought: Bought, post: Post) -> None:
        for _ in range(2):
            answer = post([one(bought, "a"), one(bought, "b")])

            assert (answer.status_code, answer.content) == (204, b"")
            assert UsageRecord.objects.count() == 2
        assert selectors.verify() == []

    def test_conflict_and_quarantine_are_kept_not_refused(self, bought: Bought, post: Post) -> None:
        post([one(bought)])

        answer = post([one(bought, prompt_tokens=7), one(bought, "b", card="00" * 32)])

        assert answer.status_code == 204
        assert Conflict.objects.count() == len(selectors.quarantined(bought.operator)) == 1

    def test_400_names_the_event_and_the_field_and_stores_nothing(self, bought: Bought, post: Post) -> None:
        answer = post([one(bought), one(bought, "b", prompt_tokens=-1)])

        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "malformed_event")
        assert answer.headers["content-type"] == "application/problem+json"
        assert [(e["index"], e["field"]) for e in problem["errors"]] == [(1, "data.prompt_tokens")]
        assert UsageRecord.objects.count() == 0

    @pytest.mark.parametrize("body", [b"", b"{", b"[NaN]", b"\xff", b'[{"id":"a","id":"b"}]'])
    def test_400_for_what_is_no_json(self, post: Post, body: bytes) -> None:
        assert post(body).status_code == 400

    @pytest.mark.parametrize("header", [{}, {"authorization": "Bearer nobody"}, {"authorization": "Basic eDp5"}])
    def test_401_without_a_valid_key(self, bought: Bought, post: Post, header: dict[str, str]) -> None:
        answer = post([one(bought)], by=None, **header)

        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert UsageRecord.objects.count() == 0

    def test_403_without_the_scope(self, bought: Bought, post: Post) -> None:
        answer = post([one(bought)], scope="billing:read")

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
        assert UsageRecord.objects.count() == 0

    @pytest.mark.parametrize("content_type", ["text/plain", "application/json", "", "application/cloudevents+xml"])
    def test_415_for_other_forms(self, bought: Bought, post: Post, content_type: str) -> None:
        answer = post([one(bought)], content_type)

        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content_type")

    def test_405_for_other_methods(self, post: Post) -> None:
        assert post(b"", method="GET").status_code == 405

    def test_503_and_when_to_come_back_while_too_many_wait(
        self, bought: Bought, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(asgi.collector, "_bytes", MOST_BYTES)

        answer = post([one(bought)])

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert UsageRecord.objects.count() == 0


class TestSdk:
    """What the public CloudEvents package writes is read, and its two forms name one record."""

    @pytest.fixture
    def written(self, bought: Bought) -> CloudEvent:
        attributes = {"type": TYPE, "source": "pool/a b", "id": "50%", "subject": "req 1", "time": AT,
                      "specversion": "1.0", "datacontenttype": "application/json"}  # fmt: skip
        return CloudEvent(attributes=attributes, data=one(bought)["data"])

    def test_binary_and_structured_count_once(self, bought: Bought, post: Post, written: CloudEvent) -> None:
        for message in (to_binary(written, JSONFormat()), to_structured(written, JSONFormat())):
            headers = {name.lower(): value for name, value in message.headers.items()}
            answer = post(message.body, headers.pop("content-type"), **headers)
            assert answer.status_code == 204, answer.text

        record = UsageRecord.objects.get()
        assert (record.source, record.event_id, record.request_id) == ("pool/a b", "50%", "req 1")
        assert record.occurred_at == AT
        assert Conflict.objects.count() == 0

    def test_a_batch_of_its_structured_events(self, bought: Bought, post: Post, written: CloudEvent) -> None:
        body = b"[" + to_structured(written, JSONFormat()).body + b"]"

        assert post(body, BATCH).status_code == 204
        assert post(to_structured(written, JSONFormat()).body, STRUCTURED).status_code == 204
        assert UsageRecord.objects.count() == 1
