"""The whole site as `make demo` starts it, with its own state folder and ports, for tests that act as people do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A running demo."""

    url: str
    about: dict[str, Any]
    state: Path
    process: subprocess.Popen[str]

    def sign_in(self, role: str) -> dict[str, str]:
        """Address and password of a role."""
        return next(who for who in self.about["sign_ins"] if who["role"] == role)


def start_demo(state: Path, port: int, *arguments: str) -> Site:
    """Start the demo and wait for its welcome."""
    own = {"TOKENSPOT_STATE": str(state), "DJANGO_SETTINGS_MODULE": "config.settings.local",
           "TOKENSPOT_DATABASE_ROLE": "app", "METERING_QUIET_SECONDS": "2",
           "SITE_URL": f"http://127.0.0.1:{port}"}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "config.demo", "--port", str(port), *arguments],
        cwd=ROOT, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            break
    assert process.poll() is None, "".join(said)
    return Site(f"http://127.0.0.1:{port}", json.loads((state / "demo.json").read_text()), state, process)


def stop_demo(site: Site) -> int:
    """Ctrl-C; gives the exit code."""
    site.process.send_signal(signal.SIGINT)
    site.process.communicate(timeout=60)
    return site.process.returncode


def free_port() -> int:
    """The first of six free ports in a row."""
    for port in range(18_000, 19_000, 6):
        if all(_is_free(port + offset) for offset in range(6)):
            return port
    raise AssertionError("no six free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def left_running(state: Path) -> list[str]:
    """Command lines of processes that still name this state folder, or were started with it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"TOKENSPOT_STATE={state}".encode() in environment.split(b"\0"):
                found.append(command)
    return found


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """One demo for all tests of this folder; its end is checked too."""
    state = Path(tempfile.mkdtemp(prefix="ts-e2e-"))
    running = start_demo(state, free_port())
    yield running
    try:
        assert stop_demo(running) == 0
        deadline = time.monotonic() + 10
        while (left := left_running(state)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not left, f"left running: {left}"
    finally:
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium. It ends with its module: while it runs, this thread has an event loop that others would meet."""
    if CHROMIUM is None:
        pytest.skip("browser tests need Chromium: install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()
