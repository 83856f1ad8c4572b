"""Killed at random moments under load, before a platform that loses, repeats, delays and refuses.

The oracle lies outside: what the client saw finished, what the engine finished, what the platform holds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.agent import CARD, AgentProcess, engine, free_port, listening, market, serving, wait_for
from tests.fakes.platform import Behaviour, Platform

TIMES = int(os.environ.get("FAULTS_TIMES", "1"))
STORM = Behaviour(busy=0.2, lose_answer=0.2, twice=0.1, cut_answer=0.1)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with closing(Platform()) as platform:
        yield platform
        assert platform.problems == []
        assert platform.books.conflicts == 0


class TestProxy:
    def test_no_finished_request_is_lost_or_doubled(self, tmp_path: Path, platform: Platform) -> None:
        platform.behaviour = STORM
        chance = random.Random(5)
        behind = engine()
        port = free_port()
        finished: dict[str, int] = {}
        with (
            serving(behind) as url,
            AgentProcess(tmp_path / "state", "--proxy-listen", f"127.0.0.1:{port}", "--engine", url) as agent,
        ):
            agent.register(platform)

            async def load() -> None:
                limits = httpx.Limits(max_connections=8)
                async with httpx.AsyncClient(limits=limits, timeout=20) as http:
                    for life in range(8 * TIMES):
                        agent.plain_loop = life % 2 == 0
                        agent.start()
                        await asyncio.to_thread(wait_for, lambda: listening(port))
                        asked = asyncio.gather(*(requests(http, f"{life}-{lane}") for lane in range(6)))
                        await asyncio.sleep(chance.uniform(0.2, 1.2))
                        agent.kill()
                        await asked

            async def requests(http: httpx.AsyncClient, lane: str) -> None:
                for number in range(10_000):
                    name = f"r-{lane}-{number}"
                    try:
                        finished[name] = await one(http, name, stream=number % 2 == 0)
                    except (httpx.HTTPError, OSError):
                        return

            async def one(http: httpx.AsyncClient, name: str, *, stream: bool) -> int:
                body = {
                    "model": "llama-3-8b", "stream": stream, "max_tokens": 24,
                    "messages": [{"role": "user", "content": name}],
                    **({"stream_options": {"include_usage": True}} if stream else {}),
                }  # fmt: skip
                async with http.stream(
                    "POST", f"http://127.0.0.1:{port}/v1/chat/completions", json=body, headers=market(name)
                ) as answer:
                    content = await answer.aread()
                if not stream:
                    return json.loads(content)["usage"]["completion_tokens"]
                events = [line for line in content.decode().split("\n\n") if line]
                assert events[-1] == "data: [DONE]"
                return json.loads(events[-2][6:])["usage"]["completion_tokens"]

            asyncio.run(load())
            platform.behaviour = Behaviour()
            agent.start()
            wait_for(lambda: listening(port))
            assert agent.stop() == 0

        held = {record["request_id"]: record["completion_tokens"] for record in platform.books.records.values()}
        assert len(held) == len(platform.books.records)
        assert len(finished) > 100
        assert {name: held.get(name) for name in finished} == finished
        assert len(held) <= behind.counters["vllm:request_success_total", "llama-3-8b"]
        assert all(epoch.checkpoint["records"] == len(epoch.ids) for epoch in platform.books.epochs.values())


class TestLog:
    def test_sum_is_exact_over_kills_rotations_and_a_storm(self, tmp_path: Path, platform: Platform) -> None:
        platform.behaviour = STORM
        chance = random.Random(11)
        path = tmp_path / "requests.jsonl"
        total = [0, 0, 0]

        def write(count: int) -> None:
            with path.open("ab", buffering=0) as file:
                for _ in range(count):
                    total[0] += 1
                    prompt, completion = chance.randint(1, 5000), chance.randint(0, 900)
                    total[1] += prompt
                    total[2] += completion
                    line = json.dumps(
                        {
                            "request_id": f"r-{total[0]}", "allocation": "alc_1", "card": CARD,
                            "prompt_tokens": prompt, "completion_tokens": completion, "time": 1_700_000_000 + total[0],
                        }
                    ).encode() + b"\n"  # fmt: skip
                    cut = chance.randint(1, len(line))
                    file.write(line[:cut])
                    file.write(line[cut:])

        def rotate() -> None:
            for number in range(60, 0, -1):
                old = path.with_name(f"{path.name}.{number}")
                if old.exists():
                    old.rename(path.with_name(f"{path.name}.{number + 1}"))
            path.rename(path.with_name(f"{path.name}.1"))

        with AgentProcess(tmp_path / "state", "--follow", str(path)) as agent:
            agent.register(platform)
            write(1)
            settle(agent, path)
            for life in range(10 * TIMES):
                agent.start()
                for _ in range(chance.randint(1, 4)):
                    write(chance.randint(1, 400))
                    wait_for(lambda: True)
                    if chance.random() < 0.5:
                        rotate()
                        write(chance.randint(1, 50))
                    asyncio.run(asyncio.sleep(chance.uniform(0.1, 0.8)))
                agent.kill()
                if life % 3 == 0:  # rotated while nobody looked
                    write(50)
                    rotate()
                    write(5)
                if life % 4 == 3:
                    settle(agent, path)
            platform.behaviour = Behaviour()
            agent.start()
            wait_for(lambda: platform.books.prompt == total[1] and len(platform.books.records) == total[0], within=30)
            assert agent.stop() == 0

        assert len(platform.books.records) == total[0]
        assert (platform.books.prompt, platform.books.completion) == (total[1], total[2])
        assert agent.status()["live"]["bad_lines"] == {}


def settle(agent: AgentProcess, path: Path) -> None:
    """Rotated files may be thrown away once they were read: let one life read up, then drop the old ones."""
    agent.start()

    def read_up() -> Any:
        stored = agent.state / "positions.json"
        told = json.loads(stored.read_text()).get(str(path), {}) if stored.exists() else {}
        status = path.stat()
        return (told.get("ino"), told.get("offset")) == (status.st_ino, status.st_size)

    wait_for(read_up, within=20, every=0.2)
    agent.kill()
    for old in path.parent.glob(f"{path.name}.*"):
        old.unlink()
