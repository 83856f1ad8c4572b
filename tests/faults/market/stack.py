"""Servers and processes of one small market, each of which a test may stop, freeze or kill."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from config.services.postgres import DATABASE, PORT, Postgres
from config.services.processes import ServiceError, die_with_parent
from config.services.valkey import Valkey

ROOT = Path(__file__).resolve().parent.parent.parent.parent
# How much of everything: 1 in every run, more behind `make test-reliability`.
TIMES = int(os.environ.get("FAULTS_TIMES", "1"))
_DROPPED = ("DATABASE_URL", "REDIS_URL", "TOKENSPOT_FAIL_POINT")


@dataclass
class Journal:
    """What the clients of one load were told, line by line, in files that outlive every kill."""

    paths: list[Path]

    def lines(self) -> list[dict[str, Any]]:
        """Every whole line of every file; the last line of a killed process may be cut."""
        found = []
        for path in self.paths:
            for text in path.read_text().splitlines() if path.exists() else []:
                with contextlib.suppress(json.JSONDecodeError):
                    found.append(json.loads(text))
        return found

    def acknowledged(self, operation: str) -> list[dict[str, Any]]:
        """Lines of an operation that was answered with success."""
        return [line for line in self.lines() if line["op"] == operation and line["ok"]]

    def faults(self) -> list[dict[str, Any]]:
        """Answers that nobody should ever get."""
        return [line for line in self.lines() if line.get("fault")]


@dataclass
class Program:
    """One of `programs.py`: a child of the nursery, with a session of its own."""

    pid: int
    nursery: Nursery
    returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Signal the program itself."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        """Its exit code. :raises subprocess.TimeoutExpired: it still runs."""
        deadline = time.monotonic() + timeout
        while self.returncode is None:
            self.returncode = self.nursery.ask({"wait": self.pid})
            if self.returncode is None:
                if time.monotonic() > deadline:
                    raise subprocess.TimeoutExpired("runner", timeout)
                time.sleep(0.02)
        return self.returncode


class Nursery:
    """One process that has loaded the site, and forks a program whenever it is asked: no start-up is paid twice."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def ask(self, question: dict[str, Any]) -> Any:
        """One line there, one line back."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


Process = subprocess.Popen[bytes] | Program


@dataclass
class Stack:
    """PostgreSQL and Valkey in a folder of their own, and what runs on them."""

    state: Path
    postgres_process: subprocess.Popen[bytes]
    valkey_process: subprocess.Popen[bytes]
    started: list[Process] = field(default_factory=list)
    names: int = 0
    nursery: Nursery | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What the seed said: ids, window, API key."""
        return json.loads((self.state / "faults.json").read_text())

    # Servers.

    def restart_postgres(self, number: int) -> float:
        """End the server by a signal and start it again; gives the seconds until it answered."""
        began = time.monotonic()
        self.postgres_process.send_signal(number)
        self.postgres_process.wait(30)
        deadline = began + 30
        while True:
            try:
                self.postgres_process = Postgres(self.state).start()
                return time.monotonic() - began
            except ServiceError:  # orphans of a killed postmaster keep its memory for a moment
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def restart_valkey(self) -> None:
        """Kill the server and start an empty one."""
        self.valkey_process.kill()
        self.valkey_process.wait(10)
        self.valkey_process = Valkey(self.state).start()

    # Processes.

    def environment(self, **more: str) -> dict[str, str]:
        """What every process of this market is started with: the role of the running site, not the owner."""
        kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        own = {
            "TOKENSPOT_STATE": str(self.state),
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "TOKENSPOT_DATABASE_ROLE": "app",
            "SECRET_KEY": "only-for-fault-tests",
        }
        return {**kept, **own, **more}

    def start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """A process in a session of its own, which ends with this one; it writes to logs/<name>."""
        with (self.state / "logs" / name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=self.environment(**environment), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent(signal.SIGKILL),
            )  # fmt: skip
        self.started.append(process)
        return process

    def runner(self, name: str, *arguments: object) -> Program:
        """One of `programs.py` in the background."""
        if self.nursery is None:
            with (self.state / "logs" / "nursery").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.faults.market.runner", "nursery"], cwd=ROOT, env=self.environment(),
                    start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                    preexec_fn=die_with_parent(signal.SIGKILL),
                )  # fmt: skip
            self.nursery = Nursery(process)
        log_path = str(self.state / "logs" / name)
        program = Program(self.nursery.ask({"run": [str(one) for one in arguments], "log": log_path}), self.nursery)
        self.started.append(program)
        return program

    def run(self, *arguments: object, timeout: float = 120) -> Any:
        """One of `programs.py` to its end; gives what it says."""
        self.names += 1
        answer = self.state / f"answer-{self.names}.json"
        process = self.runner("run", *arguments, "--answer", answer)
        assert process.wait(timeout) == 0, self.log("run")
        self.started.remove(process)
        return json.loads(answer.read_text())

    def celery(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A worker or a beat as the demo runs them, which also says what it received."""
        return self.start(name, "-m", "celery", "-A", "config.celery", *arguments, LOG_LEVEL="INFO")

    def end(self, process: Process, *, number: int = signal.SIGTERM, grace: float = 15) -> int:
        """End a process and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
            process.send_signal(number)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
        if process in self.started:
            self.started.remove(process)
        return process.wait(0)

    def log(self, name: str) -> str:
        """The end of what a process said."""
        return (self.state / "logs" / name).read_text(errors="replace")[-4_000:]

    def journal(self, name: str) -> Path:
        """A fresh file for what one client is told."""
        self.names += 1
        return self.state / f"journal-{self.names}-{name}"

    @contextlib.contextmanager
    def load(self, *, services: int = 2, address: str = "") -> Iterator[Journal]:
        """Clients that place and cancel: some on the services, one over REST where there is an address."""
        journal = Journal([self.journal("place") for _ in range(services)])
        clients = [
            self.runner("place", "place", "--journal", path, "--number", number)
            for number, path in enumerate(journal.paths)
        ]
        if address:
            journal.paths.append(self.journal("rest"))
            clients.append(self.runner("rest", "rest", "--journal", journal.paths[-1], "--address", address))
        try:
            wait_until(lambda: all(path.exists() and path.stat().st_size for path in journal.paths), 40, "no client")
            yield journal
        finally:
            codes = [self.end(client) for client in clients]
        assert codes == [0] * len(codes), self.log("place") + (self.log("rest") if address else "")

    # Reading.

    @contextlib.contextmanager
    def database(self) -> Iterator[psycopg.Cursor]:
        """A cursor of the owner in one snapshot."""
        password = (self.state / "pg-password").read_text()
        with psycopg.connect(
            host=str(self.state / "pg" / "run"), port=PORT, dbname=DATABASE, user="owner", password=password
        ) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with connection.cursor() as cursor:
                yield cursor

    def rows(self, statement: str, *values: object) -> list[tuple]:
        """What one statement finds."""
        with self.database() as cursor:
            return cursor.execute(statement, values).fetchall()

    def open_round(self) -> int:
        """The number of the round that collects orders now."""
        return self.rows("SELECT round_number FROM market_market")[0][0]

    def wait_for_rounds(self, count: int, *, within: float) -> float:
        """Wait until so many more rounds are cleared; gives the seconds."""
        first = self.open_round()
        return wait_until(lambda: self.open_round() >= first + count, within, f"no {count} rounds")


def wait_until(condition: Callable[[], object], within: float, what: str) -> float:
    """Ask again and again; gives the seconds until the answer was yes."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"{what} after {within} s"
        time.sleep(0.05)
    return time.monotonic() - began


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """Pids of the processes that a process started itself."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    """Servers, tables and a seeded market; everything that was started is ended."""
    state = Path(tempfile.mkdtemp(prefix="ts-faults-"))
    state.chmod(0o711)  # as root the database runs as nobody, who must be able to walk in
    (state / "logs").mkdir()
    postgres, valkey = Postgres(state), Valkey(state)
    try:
        note = postgres.prepare() | valkey.prepare()
        stack = Stack(state, postgres.start(), valkey.start())
        (state / "services.json").write_text(json.dumps(note))
        try:
            stack.run("seed")
            yield stack
        finally:
            for process in list(stack.started):
                stack.end(process, grace=5)
            if stack.nursery is not None:
                stack.nursery.process.communicate(timeout=10)  # the end of its input is the end of it
            stack.valkey_process.send_signal(signal.SIGCONT)
            valkey.stop(stack.valkey_process)
            postgres.stop(stack.postgres_process)
    finally:
        shutil.rmtree(state, ignore_errors=True)
