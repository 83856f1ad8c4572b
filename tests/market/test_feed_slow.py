"""Clients that read nothing, on a real server: they are cut off, memory stays bounded, and others notice nothing."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from config.services.processes import die_with_parent
from tests.faults.market.stack import free_port

ROOT = Path(__file__).resolve().parents[2]
DEAD, LIVING = 30, 5
FRAME_BYTES = 300_000
# A feed of large frames, ten a second, without a database; it tells how many sockets are open.
SERVER = """
import asyncio, itertools, pathlib, sys, threading, time
import django
django.setup()
import uvicorn
from market import asgi
from market.consumers import feed, sockets

told = pathlib.Path(sys.argv[2])
sockets.SEND_SECONDS, sockets.GOODBYE_SECONDS, feed.POLL_SECONDS = 1.0, 0.3, 0.1
pad = "x" * int(sys.argv[3])
def frame(number):
    return {"type": "round", "seq": number, "prev_seq": number - 1, "halted": False, "products": [], "pad": pad}
feed._read_snapshot = lambda: frame(1)
feed._read_after = lambda sequence: ([frame(sequence + 1)], False)
def tell():
    while True:
        told.with_suffix(".new").write_text(str(sockets.Socket.open))
        told.with_suffix(".new").rename(told)
        time.sleep(0.1)
threading.Thread(target=tell, daemon=True).start()
uvicorn.run(asgi.application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False, lifespan="off")
"""


@pytest.fixture
def server(tmp_path):
    port, told, log = free_port(), tmp_path / "open", tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port), str(told), str(FRAME_BYTES)], cwd=ROOT, stdout=output, stderr=output,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.test"}, preexec_fn=die_with_parent(signal.SIGKILL),
        )  # fmt: skip
    try:
        until(lambda: told.exists() and answers(port), 60, log.read_text)
        yield port, process.pid, told
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.kill()
        process.wait(10)


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition, within, what):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def dead(port):
    """A client that shakes hands and never reads again."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", port))
    client.sendall(
        b"GET /ws/v1/market HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    return client


def descriptors(pid):
    return sum(
        str(one.readlink()).startswith("socket:") for one in list(Path(f"/proc/{pid}/fd").iterdir()) if one.exists()
    )


def memory_mb(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1_024


@pytest.mark.timeout(120)
def test_clients_that_read_nothing_are_cut_off_and_others_notice_nothing(server):
    port, pid, told = server

    async def scene():
        address = f"ws://127.0.0.1:{port}/ws/v1/market"
        living = [await connect(address, compression=None, max_size=None) for _ in range(LIVING)]
        heard = [[] for _ in living]

        async def listen(one, into):
            async for text in one:
                into.append(json.loads(text)["seq"])

        tasks = [asyncio.create_task(listen(one, into)) for one, into in zip(living, heard, strict=True)]
        while not all(heard):
            await asyncio.sleep(0.05)
        before, few = memory_mb(pid), descriptors(pid)
        clients = [dead(port) for _ in range(DEAD)]
        most, seen, deadline = before, 0, time.monotonic() + 60
        while seen < DEAD or int(told.read_text()) > LIVING:
            seen = max(seen, int(told.read_text()) - LIVING)
            most = max(most, memory_mb(pid))
            assert time.monotonic() < deadline, f"{told.read_text()} sockets still open"
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        left = descriptors(pid)
        for client in clients:
            client.close()
        for one in living:
            await one.close()
        await asyncio.gather(*tasks)
        return heard, most - before, left - few

    heard, grown_mb, left = asyncio.run(scene())

    for numbers in heard:
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert left == 0, "descriptors of clients that were cut off"
    assert grown_mb < DEAD * 2, "a client that reads nothing costs little more than the frame on its way"
