"""The native paths of ingest, asked in this process over ASGI, by an agent that signs or under a bearer key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from django.db import connections

from accounts.kernel import ids
from accounts.selectors import clock
from market.selectors import AllocationView
from metering_ingest import asgi
from metering_ingest.asgi import work
from metering_ingest.asgi.collector import Collector
from metering_ingest.asgi.work import answer_all, answer_in_fear
from tests.metering_ingest.scene import HOUR
from tests.providers.signing import Signer

HOST = "http://testserver"
RECORDS, EVENTS = "/api/v1/usage-records", "/api/v1/events"
AT = HOUR + timedelta(minutes=2)


@contextmanager
def collecting(monkeypatch: pytest.MonkeyPatch, *, at: datetime = AT, workers: int = 1) -> Iterator[None]:
    """Threads at a set time, whose connections are closed afterwards."""
    monkeypatch.setattr(clock, "now", lambda: at)
    collector = Collector(answer_all, answer_in_fear, workers=workers)
    monkeypatch.setattr(asgi, "collector", collector)
    try:
        yield
    finally:
        collector.close(connections.close_all)


@dataclass(frozen=True)
class Agent:
    """An agent's side of the records face."""

    signer: Signer
    at: datetime = AT

    def post(
        self, body: Any, *, path: str = RECORDS, change: dict[str, str] | None = None, **headers: str
    ) -> httpx.Response:
        return direct(*self._signed(body, path, change, headers), path)

    async def send(
        self, body: Any, *, path: str = RECORDS, change: dict[str, str] | None = None, **headers: str
    ) -> httpx.Response:
        """The same through the collector, with whatever else is sent at the time."""
        return await post(*self._signed(body, path, change, headers), path)

    def _signed(
        self, body: Any, path: str, change: dict[str, str] | None, headers: dict[str, str]
    ) -> tuple[bytes, dict[str, str]]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return raw, {**self.signer.headers("POST", HOST + path, raw, at=self.at), **headers, **(change or {})}


def by_key(secret: str, body: Any, *, path: str = RECORDS, **headers: str) -> httpx.Response:
    """Send under a bearer key."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json", "authorization": f"Bearer {secret}", **headers}
    return direct(raw, sent, path)


def direct(raw: bytes, headers: dict[str, str], path: str) -> httpx.Response:
    """What a thread of the collector answers, asked in the test's own thread and transaction."""
    named = {"host": HOST.removeprefix("http://"), **headers}
    scope = {"path": path, "scheme": "http", "headers": [(n.encode(), v.encode()) for n, v in named.items()]}
    (answer,) = answer_all([asgi._request(scope, raw, "")])
    return httpx.Response(answer.status, headers=answer.headers, content=answer.body)


async def post(raw: bytes, headers: dict[str, str], path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi.application), base_url=HOST) as client:
        return await client.post(path, content=raw, headers=headers)


def record(allocation: AllocationView, name: str, seq: int | None = None, **change: Any) -> dict[str, Any]:
    """One record in JSON."""
    found = {
        "id": name, "request_id": name, "allocation": ids.encode("alc", allocation.id), "card": allocation.card_digest,
        "prompt_tokens": 100, "completion_tokens": 50, "finish_reason": "stop", "counted_by": "usage",
        "time": "2026-11-24T16:01:00Z", **change,
    }  # fmt: skip
    return found if seq is None else {**found, "seq": seq}


def body(*records: dict[str, Any], epoch: str = "e1", **more: Any) -> dict[str, Any]:
    """A signed body."""
    return {"epoch": epoch, "records": list(records), **more}


def here(monkeypatch: pytest.MonkeyPatch, *, at: datetime = AT) -> None:
    """For `direct`: a set time, and the test's transaction left alone."""
    monkeypatch.setattr(clock, "now", lambda: at)
    monkeypatch.setattr(work, "close_old_connections", lambda: None)
