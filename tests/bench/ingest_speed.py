"""Usage records a second over real HTTP, signed and durable: in batches of 1,000, and one by one in group commits.

A web process of the site (uvicorn) on a PostgreSQL of its own, fsync on, takes records of one agent; every accepted record
is counted in the answers. In the same run, on the same server: the same SQL steps bare, by psycopg with their parameters
made beforehand; COPY into a table with a unique index; and one commit for each single record. Then the bare steps and the
batches again beside 10^5 stored keys (`INGEST_STORED=1000000` goes on to 10^6, `=10000000` to 10^7).

Requests are written and signed before the clock runs, so that the clients, who share the cores, cost little. The web
process's CPU for a record is printed too: unlike the rates it hardly depends on who else uses the machine.

What bounds it: the web process runs one thread of Python at a time, and a record in a batch takes it some 26 microseconds
(19 of reading, judging, writing and answering, the rest of HTTP and of threads that wait for each other); a single request
takes it 280, of which checking its Ed25519 signature is about half.
"""

# ruff: noqa: E402  (the statements of ingest are read from the site's own modules)
from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

import django

django.setup()

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.services.postgres import DATABASE, PORT
from metering_ingest.services import epochs, rows
from tests.bench.intake_speed import Site, _serve
from tests.faults.market.stack import Stack, running_stack
from tests.providers.signing import Signer

BATCH, BATCHES, SENDERS = 1_000, 60, 4
SINGLES, CLIENTS = 3_000, 128
SHARE, FLOOR, GAIN = 0.5, 15_000, 20
# Goals are printed as missed where they are; below these floors, of what the same run measured, the benchmark fails.
LEAST_SHARE, LEAST_GAIN = 0.2, 4
PATH = "/api/v1/usage-records"

SETUP = """
import json, pathlib, sys
import django
django.setup()
from django.db import connection
from accounts.kernel import ids
from accounts.selectors import actors, clock
from config import seeding
from market import selectors, services
from providers import services as providers
now = clock.now()
market = selectors.the_market()
buyer = seeding.buyer("Ingest", deposit_micros=10**12, staff=actors.of_organisation(market.operator_id), now=now)
[window, *_] = selectors.open_windows(now)
start = window[0]
draft = services.OrderDraft(buyer.organisation_id, "buy", "llama-3-8b", "interactive", start, 1000, 2_700_000)
services.orders.place(draft, actor=buyer, now=now)
services.rounds.clear(market.id, now=market.next_close_at)
product = selectors.product_at("llama-3-8b", "interactive", start)
allocation = selectors.product_fills(buyer.organisation_id, product.id)[0]
with connection.cursor() as cursor:  # delivered now, so that records of now lie in its window
    cursor.execute("SET session_replication_role = replica")
    cursor.execute("UPDATE market_product SET window_start = now() - interval '30 min', window_end = now() + interval '4 h' "
                   "WHERE id = %s", [product.id])
    cursor.execute("SET session_replication_role = origin")
new = providers.agents.make(name="bench", pool_id=None, actor=actors.of_organisation(allocation.seller_id), now=now)
done = providers.agents.register(token=new.token, public_key=sys.argv[2], version="bench", now=now)
pathlib.Path(sys.argv[1]).write_text(json.dumps({
    "key": ids.encode("agk", done.key_id), "allocation": ids.encode("alc", allocation.id), "card": allocation.card_digest,
    "allocation_id": allocation.id.hex, "seller": allocation.seller_id.hex, "agent": done.agent_id.hex}))
"""


class Maker:
    """Makes bodies whose records were never sent before."""

    def __init__(self, about: dict[str, str]) -> None:
        self.about, self.now = about, datetime.now(UTC).isoformat()

    def body(self, count: int) -> bytes:
        """A body in an epoch of its own, so that sequences begin at 1."""
        name = uuid4().hex
        records = [
            {"seq": n, "id": f"{name}-{n}", "request_id": f"req-{name}-{n}", "allocation": self.about["allocation"],
             "card": self.about["card"], "prompt_tokens": 900 + n, "cached_tokens": 100, "completion_tokens": 200 + n,
             "max_tokens": 4096, "finish_reason": "stop", "served_format": "fp16", "counted_by": "usage", "time": self.now}
            for n in range(1, count + 1)
        ]  # fmt: skip
        return json.dumps({"epoch": name, "records": records}, separators=(",", ":")).encode()


def _signed(port: int, signer: Signer, body: bytes) -> bytes:
    """A whole HTTP request."""
    headers = signer.headers("POST", f"http://127.0.0.1:{port}{PATH}", body, at=datetime.now(UTC))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {len(body)}\r\n{head}\r\n".encode() + body
    )


class Sender(threading.Thread):
    """One connection that sends one batch after the other."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        super().__init__()
        self.port, self.requests = port, requests
        self.accepted, self.error, self.times = 0, "", []

    def run(self) -> None:
        """Send, and count what was accepted."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            answers = connection.makefile("rb")
            for request in self.requests:
                began = time.perf_counter()
                connection.sendall(request)
                status, length = answers.readline(), 0
                while (line := answers.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line[15:])
                text = answers.read(length)
                self.times.append(time.perf_counter() - began)
                if b" 200 " not in status:
                    self.error = f"{status!r}: {text[:300]!r}"
                    return
                self.accepted += text.count(b'"accepted"')


def main() -> int:
    """Measure, print, and give 1 when a floor is missed."""
    with running_stack() as stack:
        figures = measure(stack)
    report(figures)
    return 0 if all(figure["ratio"] is None or figure["ratio"] >= figure["least"] for figure in figures) else 1


def measure(stack: Stack) -> list[dict[str, Any]]:
    """The figures, each after a warm-up."""
    signer = Signer(private=Ed25519PrivateKey.generate())
    about = _set_up(stack, signer)
    signer.key_id = about["key"]
    maker = Maker(about)
    site, plain = (
        _serve(stack, "site", "config.asgi:application"),
        _serve(stack, "plain", "tests.bench.ungrouped_site:application"),
    )
    _batches(site, signer, maker, 4)
    figures = []
    memory = _memory(site)
    for stored in _sizes(stack):
        bare = _bare(stack, about)
        rate, worst, cost = _batches(site, signer, maker, BATCHES)
        target = max(FLOOR, SHARE * bare)
        label = f"batches of {BATCH:,} beside {stored:,} stored"
        figures.append(
            _figure(f"{label}, against the same SQL bare", rate, "records/s", bare, target, rate >= target, LEAST_SHARE)
        )
        figures.append(_figure(f"{label}, slowest batch", 1_000 * worst, "ms", 0, 1_000, worst < 1))
        figures.append(_figure(f"{label}, CPU for a record", cost, "us", 1e6 / bare, 0, True))
    figures.append(_figure("for information: COPY and unique index", _copied(stack), "records/s", 0, 0, True))
    few = asyncio.run(_singles(plain, signer, maker, SINGLES // 10))
    many = asyncio.run(_singles(site, signer, maker, SINGLES))
    alone = asyncio.run(_singles(plain, signer, maker, 200, clients=1))
    figures.append(
        _figure(
            f"single records, {CLIENTS} at once, against one commit each",
            many[0],
            "records/s",
            few[0],
            GAIN * few[0],
            many[0] >= GAIN * few[0],
            LEAST_GAIN,
        )
    )
    figures.append(_figure("single records, against one after the other", many[0], "records/s", alone[0], 0, True))
    figures.append(_figure("single records, 99th percentile", many[1], "ms", few[1], 1_000, many[1] <= 1_000))
    figures.append(_figure("single records, CPU for a record", many[2], "us", few[2], 0, True))
    grown = _memory(site) - memory
    figures.append(_figure("memory grown", grown, "MB", memory, 200, grown < 200))
    return figures


def _set_up(stack: Stack, signer: Signer) -> dict[str, str]:
    path = stack.state / "ingest.json"
    process = stack.start("setup", "-c", SETUP, str(path), signer.public, TOKENSPOT_DATABASE_ROLE="owner")
    assert process.wait(60) == 0, stack.log("setup")
    found: dict[str, str] = json.loads(path.read_text())
    return found


def _sizes(stack: Stack) -> Iterator[int]:
    """Store more and more keys and records, and say how many there are."""
    yield 0
    size, most = 100_000, int(os.environ.get("INGEST_STORED", "100000"))
    while size <= most:
        with _connect(stack) as connection:
            connection.execute(_FILL, [size])
        with _connect(stack, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE metering_usage_key")
            connection.execute("CHECKPOINT")
        yield size
        size *= 10


_FILL = """
INSERT INTO metering_usage_key SELECT gen_random_uuid(), gen_random_uuid(), current_date
FROM generate_series(1, greatest(0, %s - (SELECT count(*) FROM metering_usage_key)))
"""


def _batches(site: Site, signer: Signer, maker: Maker, count: int) -> tuple[float, float, float]:
    """Records a second, the slowest answer in seconds, and microseconds of the web process's CPU for a record."""
    requests = [_signed(site.port, signer, maker.body(BATCH)) for _ in range(count)]
    senders = [Sender(site.port, requests[n::SENDERS]) for n in range(SENDERS)]
    used, began = site.seconds(), time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    seconds = time.perf_counter() - began
    assert not any(sender.error for sender in senders), [sender.error for sender in senders]
    accepted = sum(sender.accepted for sender in senders)
    assert accepted == count * BATCH, f"{accepted:,} of {count * BATCH:,} accepted"
    return accepted / seconds, max(max(sender.times) for sender in senders), 1e6 * (site.seconds() - used) / accepted


async def _singles(
    site: Site, signer: Signer, maker: Maker, count: int, clients: int = CLIENTS
) -> tuple[float, float, float]:
    """Records a second one by one from so many connections, the 99th percentile of the answers in ms, and CPU."""
    requests = iter([_signed(site.port, signer, maker.body(1)) for _ in range(count)])
    times: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        for request in requests:
            began = time.perf_counter()
            writer.write(request)
            answered = await reader.readuntil(b"\r\n\r\n")
            length = int(answered.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            text = await reader.readexactly(length)
            times.append(time.perf_counter() - began)
            assert answered.startswith(b"HTTP/1.1 200") and b'"accepted"' in text, (answered, text)
        writer.close()

    used, began = site.seconds(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - began
    return count / seconds, 1_000 * sorted(times)[int(0.99 * len(times))], 1e6 * (site.seconds() - used) / count


def _bare(stack: Stack, about: dict[str, str]) -> float:
    """The same steps with their parameters made beforehand, one transaction a batch, on one connection."""
    made, now = [], datetime.now(UTC)
    for _ in range(BATCHES):
        keys = sorted(uuid4().hex for _ in range(BATCH))
        lines = "".join(
            f"{now.date()}\t{key}\t{about['seller']}\tagent\tsigned\tagent\t{key}\t{key}\t{about['allocation_id']}\t"
            f"{about['card']}\t1000\t100\t300\t300\t5000000\t4096\tstop\t{now}\t\x01\t\x01\t{now}\t{about['agent']}\tfp16\t"
            f"usage\t\x01\t\x01\t\x01\t\x01\t\n"
            for key in keys
        )
        made.append((rows.array(keys), lines))
    bucket = [
        [about["allocation_id"]],
        [about["card"]],
        ["bare"],
        [BATCH],
        [1000 * BATCH],
        [0],
        [300 * BATCH],
        [5_000_000 * BATCH],
    ]
    numbers = rows.array(str(number) for number in range(1, BATCH + 1))
    with _connect(stack) as connection:
        began = time.perf_counter()
        for array, lines in made:
            with connection.transaction(), connection.cursor() as cursor:
                note = {"agents": [about["agent"]], "epochs": [uuid4().hex], "received": [f"{{[1,{BATCH + 1})}}"],
                        "now": now, "most": 100, "checkpoints": [0], "closed": [False]}  # fmt: skip
                ((_, _, epoch_id, _),) = cursor.execute(epochs._NOTE, note).fetchall()
                cursor.execute(epochs._CLAIM, [rows.array([str(epoch_id)] * BATCH), numbers, array])
                cursor.execute(rows._CLAIM, [now.date(), array, array]).fetchall()
                with cursor.copy(rows._COPY_RECORDS) as copy:
                    copy.write(lines)
                cursor.execute(rows._ROLL_UP, [now, now, *bucket])
        return BATCH * BATCHES / (time.perf_counter() - began)


def _copied(stack: Stack) -> float:
    lines = ["".join(f"{uuid4().hex}\tagent\t1000\t100\t300\t5000000\n" for _ in range(BATCH)) for _ in range(BATCHES)]
    with _connect(stack) as connection:
        connection.execute(
            "CREATE TABLE bench_copy (key uuid PRIMARY KEY, source text, p bigint, c bigint, g bigint, s bigint)"
        )
        connection.commit()
        began = time.perf_counter()
        for text in lines:
            with (
                connection.transaction(),
                connection.cursor() as cursor,
                cursor.copy("COPY bench_copy FROM STDIN") as copy,
            ):
                copy.write(text)
        return BATCH * BATCHES / (time.perf_counter() - began)


def _connect(stack: Stack, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=str(stack.state / "pg" / "run"), port=PORT, dbname=DATABASE, user="owner",
        password=(stack.state / "pg-password").read_text(), autocommit=autocommit,
    )  # fmt: skip


def _memory(site: Site) -> float:
    """Resident megabytes."""
    text = Path(f"/proc/{site.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1_024


def _figure(
    name: str, value: float, unit: str, against: float, target: float, ok: bool, least: float = 0
) -> dict[str, Any]:
    return {"least": least,"name": f"ingest: {name}", "value": round(value, 2), "unit": unit, "against": round(against, 2),
            "ratio": round(value / against, 3) if against else None, "target": round(target, 2), "ok": ok}  # fmt: skip


def report(figures: list[dict[str, Any]]) -> None:
    """A table for people, then lines for programs."""
    print(f"{'':<84}{'value':>10}{'against':>10}{'ratio':>8}{'target':>10}")
    for figure in figures:
        verdict = "" if figure["ok"] else "  MISSED"
        print(f"{figure['name']:<74}{figure['unit']:>10}{figure['value']:>10,.1f}{figure['against']:>10,.1f}"
              f"{figure['ratio'] or 0:>8.2f}{figure['target']:>10,.1f}{verdict}")  # fmt: skip
    for figure in figures:
        print(json.dumps(figure))


if __name__ == "__main__":
    sys.exit(main())
