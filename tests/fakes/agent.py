"""The agent as a process of its own, and engines to put it before."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tests.fakes.engine.app import Engine

CARD = "ab" * 32


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(condition: Callable[[], Any], *, within: float = 20.0, every: float = 0.02) -> Any:
    """The condition's first true answer."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every)
    raise AssertionError(f"not within {within} s: {condition}")


@contextmanager
def serving(app: Any, *, port: int | None = None, date_header: bool = True) -> Iterator[str]:
    """An ASGI application in a thread; its address."""
    port = port or free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            date_header=date_header,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def engine(**options: Any) -> Engine:
    """An engine that is as fast as its pace lets it be."""
    return Engine(("llama-3-8b",), 1e9, **options)


def market(request: str, *, limit: int | None = None, allocation: str = "alc_1") -> dict[str, str]:
    """The gateway's headers."""
    told = {"X-Tokenspot-Request": request, "X-Tokenspot-Allocation": allocation, "X-Tokenspot-Card": CARD}
    return told | ({"X-Tokenspot-Max-Tokens": str(limit)} if limit is not None else {})


class AgentProcess:
    """`tokenspot agent` on a state folder."""

    def __init__(self, state: Path, *arguments: str, prefix: tuple[str, ...] = (), preexec: Any = None) -> None:
        self.state = state
        self.arguments = arguments
        self.prefix = prefix
        self.preexec = preexec
        self.plain_loop = False  # as where uvloop is not installed
        self.process: subprocess.Popen[bytes] | None = None
        self.log = state.parent / f"{state.name}.log"

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tokenspot_client.agent", *arguments, "--state", str(self.state)],
            capture_output=True,
            text=True,
            timeout=60,
        )

    def register(self, platform: Any) -> None:
        done = self.command("register", "--url", platform.url, "--token", platform.new_token())
        assert done.returncode == 0, done.stderr

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        path = os.environ.get("PYTHONPATH", "")
        if self.plain_loop:
            without = self.state.parent / "without-uvloop"
            without.mkdir(exist_ok=True)
            (without / "uvloop.py").write_text("raise ImportError")
            path = f"{without}:{path}"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix, sys.executable, "-m", "tokenspot_client.agent", "run", "--state", str(self.state),
                    "--prometheus", "off", "--send-interval", "1", "--drain-seconds", "10", *self.arguments, *more,
                ],
                stdout=log,
                stderr=log,
                preexec_fn=self.preexec,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": path},
            )  # fmt: skip
        return self.process

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return told

    def __enter__(self) -> AgentProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


def listening(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex(("127.0.0.1", port)) == 0
