"""The agent before the real platform: registered, signed, counted once, gaps and totals as the platform keeps them.

The platform's clock stands at the hour that was bought, so the agent's is off and corrects itself by the answer.
"""

from __future__ import annotations

import email.utils
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2wsgi import WSGIMiddleware
from django.db import connections

from accounts.kernel import ids
from accounts.selectors import clock
from config.native import guarded
from config.wsgi import application as wsgi_application
from metering_ingest import asgi
from metering_ingest.asgi.collector import Collector
from metering_ingest.asgi.work import answer_all, answer_in_fear
from metering_ingest.models import Epoch, UsageRecord
from providers import services as providers
from tests.fakes.agent import AgentProcess, engine, free_port, listening, serving, wait_for
from tests.metering_ingest.scene import HOUR, Bought
from tests.races.thread.conftest import bought, triggers_back

__all__ = ["bought", "triggers_back"]
AT = HOUR + timedelta(minutes=2)


@pytest.fixture
def site(bought: Bought, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The whole site; its answers carry its own clock's date."""
    monkeypatch.setattr(clock, "now", lambda: AT)
    collector = Collector(answer_all, answer_in_fear, workers=1)
    monkeypatch.setattr(asgi, "collector", collector)

    metering, pages = guarded(asgi.application), WSGIMiddleware(wsgi_application, workers=1)

    async def dated(scope: Any, receive: Any, send: Any) -> None:
        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                date = email.utils.formatdate(AT.timestamp(), usegmt=True).encode()
                message = {**message, "headers": [*message["headers"], (b"date", date)]}
            await send(message)

        part = metering if scope["path"] == "/api/v1/usage-records" else pages
        await part(scope, receive, answer)

    with serving(dated, date_header=False) as url:
        yield url
    collector.close(connections.close_all)
    pages.executor.submit(connections.close_all).result()


def lines(bought: Bought, *numbers: int) -> str:
    allocation = bought.allocations[0]
    return "".join(
        json.dumps(
            {
                "request_id": f"req-{number}", "allocation": ids.encode("alc", allocation.id), "card": allocation.card_digest,
                "prompt_tokens": 100, "completion_tokens": number, "max_tokens": 400, "finish_reason": "stop",
                "time": (HOUR + timedelta(seconds=number)).isoformat(),
            }
        ) + "\n"
        for number in numbers
    )  # fmt: skip


def test_what_the_agent_counted_is_what_the_platform_holds(bought: Bought, site: str, tmp_path: Path) -> None:
    new = providers.agents.make(name="rack 7", pool_id=None, actor=bought.provider, now=AT)
    log = tmp_path / "requests.jsonl"
    log.write_text(lines(bought, *range(1, 41)))
    with AgentProcess(tmp_path / "state", "--follow", str(log)) as agent:
        done = agent.command("register", "--url", site, "--token", new.token)
        assert done.returncode == 0, done.stderr
        agent.start()
        wait_for(lambda: UsageRecord.objects.count() == 40)
        agent.kill()
        (tmp_path / "state" / "cursor.json").unlink()  # a lost state: a new epoch, and all again

        with log.open("a") as file:
            file.write(lines(bought, *range(41, 51)))
            file.write(lines(bought, 50).replace('"completion_tokens": 50', '"completion_tokens": 51'))
        agent.start()
        wait_for(lambda: UsageRecord.objects.count() == 50)
        rotated = agent.command("rotate-key")
        assert rotated.returncode == 0, rotated.stderr
        with log.open("a") as file:
            file.write(lines(bought, 51))
        wait_for(lambda: UsageRecord.objects.count() == 51)
        assert agent.stop() == 0
        told = agent.status()

    assert sum(UsageRecord.objects.values_list("completion_tokens", flat=True)) == sum(range(1, 52))
    assert told["kept_aside"] and set(told["kept_aside"]) == {name for name in told["kept_aside"] if "conflict" in name}
    assert abs(told["live"]["platform"]["clock_offset"]) > 300
    assert told["live"]["platform"]["gaps"] == []
    assert sorted(Epoch.objects.values_list("closed", flat=True)) == [False, True]


def test_proxy_before_the_real_platform(bought: Bought, site: str, tmp_path: Path) -> None:
    allocation = bought.allocations[0]
    new = providers.agents.make(name="rack 8", pool_id=None, actor=bought.provider, now=AT)
    port = free_port()
    headers = {
        "X-Tokenspot-Request": "req-live", "X-Tokenspot-Allocation": ids.encode("alc", allocation.id),
        "X-Tokenspot-Card": allocation.card_digest, "X-Tokenspot-Max-Tokens": "8",
    }  # fmt: skip
    with (
        serving(engine()) as behind,
        AgentProcess(tmp_path / "state", "--proxy-listen", f"127.0.0.1:{port}", "--engine", behind) as agent,
    ):
        assert agent.command("register", "--url", site, "--token", new.token).returncode == 0
        agent.start()
        wait_for(lambda: listening(port))
        body = {"model": "llama-3-8b", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, headers=headers).json()
        assert agent.stop() in {0, 3}
        told = agent.status()

    # Its first token came at this machine's time, hours beside the hour that was bought: the platform says so.
    results = told["live"]["platform"]["results"]
    assert sum(results.values()) == 1, told
    assert answer["usage"]["completion_tokens"] > 0
