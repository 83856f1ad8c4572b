"""A disk that is full: the proxy serves on, what is kept is sent, what is lost is counted."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.fakes.agent import AgentProcess, engine, free_port, listening, market, serving, wait_for
from tests.fakes.platform import Behaviour, Platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    with closing(Platform()) as platform:
        yield platform
        assert platform.problems == []
        assert platform.books.conflicts == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True
    ).returncode == 0  # fmt: skip
    if not mounted:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def ask(http: httpx.Client, port: int, name: str) -> None:
    body = {"model": "llama-3-8b", "max_tokens": 4, "messages": [{"role": "user", "content": name}]}
    http.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, headers=market(name)).raise_for_status()


def test_full_disk_stops_no_request_and_loses_no_record_once_there_is_room(
    small_disk: Path, tmp_path: Path, platform: Platform
) -> None:
    port = free_port()
    with serving(engine()) as url, httpx.Client() as http:
        agent = AgentProcess(small_disk / "state", "--proxy-listen", f"127.0.0.1:{port}", "--engine", url)
        agent.log = tmp_path / "agent.log"
        with agent:
            agent.register(platform)
            platform.behaviour = Behaviour(offline=True)
            agent.start()
            wait_for(lambda: listening(port))
            ballast = small_disk / "ballast"
            for number in range(50):
                ask(http, port, f"before-{number}")
            with ballast.open("wb") as file:
                try:
                    while True:
                        os.write(file.fileno(), bytes(4096))
                except OSError:
                    pass
            for number in range(200):
                ask(http, port, f"full-{number}")
            wait_for(lambda: json.loads((agent.state / "losses.json").read_text()).get("at_risk", {}).get("records"))
            assert "the disk is full" in agent.command("status").stdout

            ballast.unlink()
            platform.behaviour = Behaviour()
            wait_for(lambda: len(platform.books.records) == 250, within=30)
            assert agent.stop() == 0
            told = agent.status()
        assert told["losses"] == {} and told["in_memory_only"] == 0
        assert "cannot be written" in agent.log.read_text()


def test_death_with_a_full_disk_is_counted(small_disk: Path, tmp_path: Path, platform: Platform) -> None:
    port = free_port()
    with serving(engine()) as url, httpx.Client() as http:
        agent = AgentProcess(small_disk / "state", "--proxy-listen", f"127.0.0.1:{port}", "--engine", url)
        agent.log = tmp_path / "agent.log"
        with agent:
            agent.register(platform)
            platform.behaviour = Behaviour(offline=True)
            agent.start()
            wait_for(lambda: listening(port))
            with (small_disk / "ballast").open("wb") as file:
                try:
                    while True:
                        os.write(file.fileno(), bytes(4096))
                except OSError:
                    pass
            for number in range(100):
                ask(http, port, f"full-{number}")
            risked = wait_for(
                lambda: json.loads((agent.state / "losses.json").read_text()).get("at_risk", {}).get("records")
            )
            agent.kill()
            (small_disk / "ballast").unlink()
            platform.behaviour = Behaviour()
            agent.start()
            wait_for(lambda: listening(port))
            assert agent.stop() == 0

            lost = agent.status()["losses"]["died_with_full_disk"]["records"]
        assert risked <= lost <= 100
        assert lost + len(platform.books.records) == 100


def test_file_size_limit_is_a_full_disk_too(tmp_path: Path, platform: Platform) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, 16_000))

    port = free_port()
    with (
        serving(engine()) as url,
        httpx.Client() as http,
        AgentProcess(
            tmp_path / "state", "--proxy-listen", f"127.0.0.1:{port}", "--engine", url, preexec=limited
        ) as agent,
    ):
        agent.log = Path("/dev/null")
        agent.register(platform)
        platform.behaviour = Behaviour(offline=True)
        agent.start()
        wait_for(lambda: listening(port))
        for number in range(200):
            ask(http, port, f"n-{number}")
        agent.kill()

        agent.preexec = None
        platform.behaviour = Behaviour()
        agent.start()
        wait_for(lambda: listening(port))
        assert agent.stop() == 0
        lost = agent.status()["losses"].get("died_with_full_disk", {"records": 0})["records"]
    assert 0 < len(platform.books.records) < 200
    assert len(platform.books.records) + lost == 200
