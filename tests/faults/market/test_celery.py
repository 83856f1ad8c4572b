"""The real processes of rounds (two workers, two beats, a web server) while what they stand on fails."""

from __future__ import annotations

import contextlib
import math
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import httpx
import pytest

from tests.faults.market.counting import Count, assert_whole, percentile
from tests.faults.market.stack import TIMES, Journal, Stack, children, free_port, wait_until

RECEIVED = re.compile(r"market\.clear_due\[[0-9a-f-]+\] received")


@dataclass
class Site:
    """What clears and what takes orders, as processes of their own."""

    stack: Stack
    workers: dict[str, subprocess.Popen[bytes]]
    beats: list[subprocess.Popen[bytes]]
    address: str

    def start_worker(self, name: str) -> None:
        """A worker as the demo runs it."""
        self.workers[name] = self.stack.celery(
            name, "worker", "-Q", "clear,outbox", "-c", "1", "-n", f"{name}@faults", "-l", "info"
        )

    def signal(self, number: int, *leaders: subprocess.Popen[bytes]) -> None:
        """Signal whole process groups."""
        for leader in leaders:
            os.killpg(leader.pid, number)

    def received(self) -> int:
        """How often the workers were told to look for due rounds."""
        return sum(len(RECEIVED.findall((self.stack.state / "logs" / name).read_text())) for name in self.workers)


@pytest.fixture(scope="module")
def site(stack: Stack) -> Iterator[Site]:
    """Two workers, two beats and the web server, ended after the tests of this module."""
    port = free_port()
    web = stack.start(
        "web", "-m", "uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", str(port),
        "--log-level", "warning", "--no-access-log",
    )  # fmt: skip
    running = Site(stack, {}, [], f"http://127.0.0.1:{port}")
    for number in (1, 2):
        running.start_worker(f"worker-{number}")
        schedule = str(stack.state / f"beat-{number}")
        running.beats.append(stack.celery(f"beat-{number}", "beat", "-s", schedule, "-l", "warning"))
    wait_until(lambda: _answers(running.address), 60, "no answer")
    stack.wait_for_rounds(3, within=60)
    yield running
    for process in [*running.beats, *running.workers.values(), web]:
        stack.end(process, number=signal.SIGQUIT if process in running.workers.values() else signal.SIGTERM)


def _answers(address: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{address}/healthz", timeout=5).status_code < 600
    return False


def assert_no_burst(found: Count, first: int) -> None:
    """At most one round closes in each second of the grid, whatever was missed or told twice before."""
    cells = [math.floor(row[4].timestamp()) for row in found.rounds if row[0] >= first and row[4] is not None]
    assert all(later > earlier for earlier, later in pairwise(cells)), cells


class TestTwoBeats:
    def test_clear_no_round_twice_and_make_up_for_none(self, site: Site) -> None:
        stack, first, told = site.stack, site.stack.open_round(), site.received()
        began = time.time()
        with stack.load(services=1) as clients:
            time.sleep(3 * TIMES)
            doubled = (site.received() - told) / (time.time() - began)
            before = stack.open_round()
            site.signal(signal.SIGSTOP, *site.workers.values())
            time.sleep(3 * TIMES)
            stalled = stack.open_round()
            site.signal(signal.SIGCONT, *site.workers.values())
            resumed = stack.wait_for_rounds(1, within=20)
            site.signal(signal.SIGSTOP, *site.beats)
            time.sleep(3)
            silent = stack.open_round()
            site.signal(signal.SIGCONT, *site.beats)
            again = stack.wait_for_rounds(1, within=20)
        elapsed = time.time() - began

        found = assert_whole(stack, clients)

        assert doubled > 1.4, "two beats say everything twice"
        assert stalled <= before + 1, "nothing clears while the workers stand still"
        assert_no_burst(found, first + 2)
        cleared = stack.open_round() - first
        assert cleared <= elapsed + 2
        print(
            f"\n{doubled:.1f} hints a second, {cleared} rounds in {elapsed:.0f} s; {resumed:.1f} s from the end of a stall "
            f"of the workers to a round, {again:.1f} s from that of the beats (round {silent})"
        )


class TestKilledWorkers:
    def test_leave_the_next_tick_to_clear_the_round(self, site: Site) -> None:
        stack, first, chance = site.stack, site.stack.open_round(), random.Random(3)
        killed, began = 0, time.monotonic()
        with stack.load(services=1) as clients:
            for _ in range(5 * TIMES):
                for pid in children(site.workers[chance.choice(list(site.workers))]):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                time.sleep(chance.uniform(0.2, 1))
            name = chance.choice(list(site.workers))
            site.signal(signal.SIGKILL, site.workers[name])
            site.workers[name].wait(5)
            stack.started.remove(site.workers[name])
            resumed = stack.wait_for_rounds(2, within=20)
            site.start_worker(name)
        elapsed = time.monotonic() - began

        found = assert_whole(stack, clients)

        assert_no_burst(found, first + 2)
        gap = _longest_gap(found, first + 1)
        print(
            f"\n{killed} children and a worker killed in {elapsed:.0f} s; longest gap {gap:.1f} s, then {resumed:.1f} s"
        )
        assert killed >= 3 * TIMES
        assert gap < 15


def _longest_gap(found: Count, first: int) -> float:
    times = [row[4].timestamp() for row in found.rounds if row[0] >= first and row[4] is not None]
    return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


def _during(journal: Journal, began: float, ended: float) -> list[dict]:
    return [line for line in journal.lines() if line["op"] == "place" and began < line["at"] < ended]


class TestFrozenValkey:
    def test_stops_no_intake_and_rounds_resume(self, site: Site) -> None:
        """Orders need no broker: they go on over REST and on the services while it neither answers nor refuses."""
        stack, first, frozen_for = site.stack, site.stack.open_round(), min(4.0 * TIMES, 30)
        with stack.load(services=1, address=site.address) as clients:
            stack.wait_for_rounds(1, within=20)
            stack.valkey_process.send_signal(signal.SIGSTOP)
            began = time.time()
            time.sleep(frozen_for)
            ended = time.time()
            stack.valkey_process.send_signal(signal.SIGCONT)
            resumed = stack.wait_for_rounds(2, within=20 + frozen_for)
            stack.restart_valkey()
            emptied = stack.wait_for_rounds(2, within=30)

        found = assert_whole(stack, clients)

        answered = _during(clients, began + 0.5, ended)
        assert sum(line["ok"] for line in answered if "status" in line) >= frozen_for, "REST"
        assert sum(line["ok"] for line in answered if "status" not in line) >= frozen_for, "services"
        assert {line["status"] for line in answered if "status" in line} <= {201, 422, 503}
        p99 = percentile([line["ms"] for line in answered], 0.99)
        assert_no_burst(found, first + 2)
        print(
            f"\nfrozen {frozen_for:.0f} s: {len(answered)} orders answered, p99 {p99:.0f} ms; two rounds after {resumed:.1f} s, "
            f"and {emptied:.1f} s after it came back empty"
        )
        assert p99 < 3_000


class TestRestartedPostgres:
    def test_keeps_every_acknowledged_order(self, site: Site) -> None:
        """Fast shutdowns and SIGKILLs of the whole server, under load."""
        stack, first = site.stack, site.stack.open_round()
        gone: list[float] = []
        healthy: list[float] = []
        with stack.load(services=2, address=site.address) as clients:
            for number in [signal.SIGINT, signal.SIGKILL] * TIMES:
                stack.wait_for_rounds(1, within=30)
                gone.append(stack.restart_postgres(number))
                back = time.time()
                wait_until(lambda back=back: _acknowledged_since(clients, back), 30, "no order")
                stack.wait_for_rounds(2, within=30)
                healthy.append(time.time() - back)

        found = assert_whole(stack, clients)

        assert_no_burst(found, first + 2)
        statuses = {line["status"] for line in clients.lines() if "status" in line}
        refused = [line for line in clients.lines() if not line["ok"] and line.get("error") != "order_ended"]
        assert statuses <= {201, 409, 422, 503}
        print(
            f"\n{len(gone)} restarts: away at most {max(gone):.1f} s, two rounds after at most {max(healthy):.1f} s; "
            f"{len(clients.acknowledged('place'))} orders acknowledged, {len(refused)} tries not answered with success"
        )


def _acknowledged_since(journal: Journal, moment: float) -> bool:
    kinds = {"status" in line for line in journal.acknowledged("place") if line["at"] > moment}
    return kinds == {True, False}
