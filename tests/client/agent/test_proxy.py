"""The proxy, with OpenAI's own client before it and an engine behind it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.fakes.agent import AgentProcess, engine, free_port, listening, market, serving, wait_for
from tests.fakes.engine.pace import Device
from tests.fakes.platform import Platform

CANARY = "canary-7f3a9c-prompt"
ANSWER = "canary-51d2e8-answer "


@pytest.fixture
def platform() -> Iterator[Platform]:
    with closing(Platform()) as platform:
        yield platform
        assert platform.problems == []


@pytest.fixture
def behind() -> Any:
    return engine(key="engine-secret")


@pytest.fixture
def engine_url(behind: Any) -> Iterator[str]:
    with serving(behind) as url:
        yield url


@pytest.fixture
def agent(tmp_path: Path, platform: Platform, engine_url: str) -> Iterator[AgentProcess]:
    port = free_port()
    with AgentProcess(
        tmp_path / "state", "--proxy-listen", f"127.0.0.1:{port}", "--engine", engine_url,
        "--metrics-url", f"{engine_url}/metrics", "--metrics-interval", "1",
    ) as agent:  # fmt: skip
        agent.port = port
        agent.register(platform)
        agent.start()
        wait_for(lambda: listening(port))
        yield agent


def client(port_or_url: Any) -> openai.OpenAI:
    base = port_or_url if isinstance(port_or_url, str) else f"http://127.0.0.1:{port_or_url}"
    return openai.OpenAI(base_url=f"{base}/v1", api_key="engine-secret", max_retries=0)


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "llama-3-8b", "messages": [{"role": "user", "content": text}], "max_tokens": 40, "seed": 7, **more}


def same(value: Any) -> Any:
    plain = value.model_dump()
    plain.pop("created")
    return plain


class TestPassing:
    def test_whole_answers_are_those_of_the_engine(self, agent: AgentProcess, engine_url: str) -> None:
        through = client(agent.port).chat.completions.create(**asked("hello"), extra_headers=market("r-1"))
        straight = client(engine_url).chat.completions.create(**asked("hello"))

        assert same(through) == same(straight)

    @pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}, {"stream_options": None}])
    def test_streams_are_those_of_the_engine(self, agent: AgentProcess, engine_url: str, options: dict) -> None:
        through = [same(c) for c in client(agent.port).chat.completions.create(**asked("hi", stream=True, **options))]
        straight = [same(c) for c in client(engine_url).chat.completions.create(**asked("hi", stream=True, **options))]

        assert through == straight

    def test_streams_are_byte_for_byte_those_of_the_engine(self, agent: AgentProcess, engine_url: str) -> None:
        def read(base: str) -> bytes:
            body = asked("bytes", stream=True)
            with httpx.stream(
                "POST", f"{base}/v1/chat/completions", json=body, headers={"Authorization": "Bearer engine-secret"}
            ) as answer:
                return b"".join(answer.iter_raw())

        def plain(content: bytes) -> list[str]:
            return [line.split('"created":')[0] + line[-60:] for line in content.decode().split("\n\n")]

        assert plain(read(f"http://127.0.0.1:{agent.port}")) == plain(read(engine_url))

    def test_other_paths_and_refusals_pass(self, agent: AgentProcess, behind: Any) -> None:
        assert [model.id for model in client(agent.port).models.list()] == ["llama-3-8b"]
        with pytest.raises(openai.NotFoundError):
            client(agent.port).chat.completions.create(**asked("x") | {"model": "none"})
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"http://127.0.0.1:{agent.port}/v1", api_key="no", max_retries=0).models.list()

    def test_first_words_come_before_the_last_are_made(self, agent: AgentProcess, behind: Any) -> None:
        behind.device = Device(20.0)  # standard tokens a second
        started = time.monotonic()
        stream = client(agent.port).chat.completions.create(**asked("slow", stream=True))

        seen = [time.monotonic() - started for _ in stream]

        assert seen[-1] - seen[1] > 0.3

    def test_engine_that_is_gone_is_told_as_502(self, agent: AgentProcess, behind: Any) -> None:
        behind.behaviour.break_after = 0

        with pytest.raises(openai.APIStatusError) as refused:
            client(agent.port).chat.completions.create(**asked("gone"), extra_headers=market("r-gone"))

        assert refused.value.status_code in {500, 502}

    def test_stream_that_breaks_off_does_not_look_whole(
        self, agent: AgentProcess, behind: Any, platform: Platform
    ) -> None:
        behind.behaviour.break_after = 8

        with pytest.raises((openai.APIError, httpx.RemoteProtocolError)):
            for _ in client(agent.port).chat.completions.create(
                **asked("break", stream=True), extra_headers=market("r-break")
            ):
                pass

        assert agent.stop() == 0
        assert agent.status()["live"]["unmetered"] == {"engine_broke": 1}
        assert platform.books.records == {}


class TestCounting:
    def test_each_request_becomes_one_record(self, agent: AgentProcess, platform: Platform) -> None:
        speak = client(agent.port).chat.completions
        whole = speak.create(**asked("one"), extra_headers=market("r-1", limit=40))
        list(speak.create(**asked("two", stream=True), extra_headers=market("r-2")))
        last = list(
            speak.create(
                **asked("three", stream=True, stream_options={"include_usage": True}), extra_headers=market("r-3")
            )
        )[-1]
        speak.create(**asked("own traffic"))

        wait_for(lambda: len(platform.books.records) == 3)
        by_request = {record["request_id"]: record for record in platform.books.records.values()}
        assert by_request["r-1"]["prompt_tokens"] == whole.usage.prompt_tokens
        assert by_request["r-1"]["completion_tokens"] == whole.usage.completion_tokens
        assert by_request["r-1"]["max_tokens"] == 40
        assert by_request["r-1"]["finish_reason"] == whole.choices[0].finish_reason
        assert by_request["r-3"]["completion_tokens"] == last.usage.completion_tokens
        assert by_request["r-2"]["completion_tokens"] > 0
        assert by_request["r-2"]["started_at"] <= by_request["r-2"]["time"] <= by_request["r-2"]["finished_at"]

        assert agent.stop() == 0
        (epoch,) = platform.books.epochs.values()
        assert epoch.closed and epoch.checkpoint["records"] == 3
        assert epoch.checkpoint["completion_tokens"] == platform.books.completion
        assert agent.status()["live"]["own_requests"] == 1

    def test_engines_counters_agree(self, agent: AgentProcess) -> None:
        time.sleep(2.5)  # a first look
        for number in range(5):
            client(agent.port).chat.completions.create(**asked(f"n{number}"), extra_headers=market(f"c-{number}"))

        def verdicts() -> Any:
            told = agent.status()["live"]
            check = told and told["engine_check"]
            return check and check["verdicts"].get("held", 0) >= 2 and told["records"] == 5 and check

        check = wait_for(verdicts, every=0.3)
        assert check["breaches"] == []

    def test_client_that_leaves_frees_the_engine(self, agent: AgentProcess, behind: Any) -> None:
        behind.device = Device(5.0)
        stream = client(agent.port).chat.completions.create(**asked("leave", stream=True), extra_headers=market("r-l"))
        next(iter(stream))

        stream.close()

        wait_for(lambda: behind.running == 0)
        assert agent.stop() == 0
        assert agent.status()["live"]["unmetered"] == {"client_left": 1}

    def test_no_text_is_found_anywhere(
        self, agent: AgentProcess, behind: Any, platform: Platform, tmp_path: Path
    ) -> None:
        behind.behaviour.say_first = ANSWER
        for number in range(10):
            words = asked(f"{CANARY} {number}", stream=number % 2 == 0, user=CANARY)
            answer = client(agent.port).chat.completions.create(**words, extra_headers=market(f"c-{number}"))
            list(answer) if number % 2 == 0 else answer
        wait_for(lambda: len(platform.books.records) == 10)
        told = agent.command("status").stdout + agent.command("status", "--json").stdout
        assert agent.stop() == 0

        places = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(places) > 5
        for content in [told.encode(), json.dumps(platform.books.records).encode(), *(p.read_bytes() for p in places)]:
            assert b"canary" not in content

    def test_sigterm_lets_streams_finish(self, agent: AgentProcess, behind: Any, platform: Platform) -> None:
        behind.device = Device(15.0)
        stream = client(agent.port).chat.completions.create(**asked("drain", stream=True), extra_headers=market("r-d"))
        pieces = iter(stream)
        next(pieces)

        agent.process.terminate()
        rest = list(pieces)

        assert rest[-1].choices[0].finish_reason is not None
        assert agent.process.wait(20) == 0
        assert len(platform.books.records) == 1
