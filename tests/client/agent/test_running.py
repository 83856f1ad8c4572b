"""Settings, hooks, and the agent's own metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tokenspot_client.agent import config, inbox
from tokenspot_client.engines import Usage, exposition
from tokenspot_client.hooks.events import usage_event

from tests.fakes.agent import CARD, AgentProcess, free_port, listening, wait_for
from tests.fakes.platform import Platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    with closing(Platform()) as platform:
        yield platform
        assert platform.problems == []


class TestConfig:
    def test_flags_go_over_variables_over_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "agent.toml"
        path.write_text(
            'proxy_listen = "0.0.0.0:1"\nengine = "http://a"\nspool_mb = 1\nsend_interval = 7\nsource = "file"\n'
            '[[log]]\npath = "/a.jsonl"\n[log.fields]\ncard = "x.y"\n'
        )

        read = config.read(
            path, {"TOKENSPOT_AGENT_SPOOL_MB": "2", "TOKENSPOT_AGENT_SEND_INTERVAL": "8"}, {"send_interval": 9}
        )

        assert (read.proxy_listen, read.spool_mb, read.send_interval) == (("0.0.0.0", 1), 2, 9)
        assert (read.logs[0].path, read.logs[0].form.source, read.logs[0].form.fields) == (
            Path("/a.jsonl"),
            "file",
            {"card": "x.y"},
        )

    @pytest.mark.parametrize(
        ("told", "word"),
        [
            ("nonsense = 1", "nonsense"),
            ("spool_mb = 'x'", "spool_mb"),
            ("spool_mb = 0", "spool_mb"),
            ("engine = 'http://a'", "proxy_listen"),
            ("proxy_listen = '1.2.3.4:99999'", "proxy_listen"),
            ("proxy_listen = '127.0.0.1:1'", "engine"),
            ("inbox = false", "nothing to count"),
            ("served_format = 'a b'", "served_format"),
            ("source = 'a b'", "source"),
            ("[[log]]\npath = 1", "log"),
            ("[[log]]\npath = 'a'\n[log.fields]\nprompt = 'x'", "fields"),
            ("[[log]]\npath = 'a'\n[[log]]\npath = 'a'", "twice"),
            ("not toml", "toml"),
        ],
    )
    def test_says_which_setting_is_wrong(self, tmp_path: Path, told: str, word: str) -> None:
        path = tmp_path / "agent.toml"
        path.write_text(told)

        with pytest.raises(config.BadConfig, match=word):
            config.read(path, {}, {})


def event(number: int) -> dict:
    at = datetime(2026, 11, 24, 20, 0, number % 60, tzinfo=UTC)
    usage = Usage(prompt=100, generated=number, cached=10, limit=500, finish_reason="stop")
    return usage_event(
        usage, id=f"hook-{number}", source="hooks/0", time=at, allocation="alc_1", card=CARD, started_at=at
    )


class TestInbox:
    def test_events_of_hooks_are_reported_with_their_own_ids(self, tmp_path: Path, platform: Platform) -> None:
        with AgentProcess(tmp_path / "state") as agent:
            agent.register(platform)
            agent.start()
            wait_for(lambda: (agent.state / "inbox").is_dir())

            for number in range(1, 6):
                inbox.leave(agent.state, event(number))

            wait_for(lambda: len(platform.books.records) == 5)
            assert agent.stop() == 0
        record = next(one for one in platform.books.records.values() if one["id"] == "hook-3")
        assert (record["source"], record["counted_by"]) == ("hooks/0", "hook")
        assert (record["prompt_tokens"], record["cached_tokens"], record["completion_tokens"]) == (100, 10, 3)

    def test_is_emptied_when_it_is_large_and_loses_nothing(
        self, tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with AgentProcess(tmp_path / "state") as agent:
            agent.register(platform)
            agent.start()
            wait_for(lambda: (agent.state / "inbox").is_dir())
            for number in range(28_000):
                inbox.leave(agent.state, event(number))
            wait_for(lambda: inbox.path_of(agent.state).stat().st_size == 0, within=30)
            inbox.leave(agent.state, event(30_000))

            wait_for(lambda: len(platform.books.records) == 28_001, within=60)
            assert agent.stop() == 0
        assert agent.status()["live"]["bad_lines"] == {}


class TestOwnMetrics:
    def test_can_be_read_by_our_own_reader(self, tmp_path: Path, platform: Platform) -> None:
        port = free_port()
        with AgentProcess(tmp_path / "state") as agent:
            agent.register(platform)
            agent.start("--prometheus", f"127.0.0.1:{port}")
            wait_for(lambda: listening(port))
            inbox.leave(agent.state, event(7))
            wait_for(lambda: platform.books.records)
            wait_for(lambda: 'results_total{result="accepted"} 1' in httpx.get(f"http://127.0.0.1:{port}/metrics").text)

            read = exposition.parse(httpx.get(f"http://127.0.0.1:{port}/metrics").text)

            assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
            assert agent.stop() == 0
        values = {(name, sample.labels): sample.value for name, group in read.samples.items() for sample in group}
        assert values["tokenspot_agent_records_total", ()] == 1
        assert values["tokenspot_agent_backlog_records", ()] == 0
        assert values["tokenspot_agent_tokens_total", (("kind", "completion"), ("traffic", "market"))] == 7

    def test_status_is_told_in_words_and_as_json(self, tmp_path: Path, platform: Platform) -> None:
        with AgentProcess(tmp_path / "state") as agent:
            agent.register(platform)
            agent.start()
            wait_for(lambda: (agent.state / "inbox").is_dir())
            inbox.leave(agent.state, event(7))
            wait_for(lambda: platform.books.records)
            assert agent.stop() == 0

            words, told = agent.command("status"), json.loads(agent.command("status", "--json").stdout)

        assert "no agent is running" in words.stdout and "1 requests, 100 prompt and 7 generated" in words.stdout
        assert told["confirmed"] == {"records": 1, "prompt": 100, "completion": 7} and told["epoch_closed"] is True
        assert "private" not in words.stdout + json.dumps(told)
