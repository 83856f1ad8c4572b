"""The web process is killed under load, again and again: what it acknowledged is stored, once, and sums are exact."""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.bench.ingest_speed import PATH, Maker, _set_up
from tests.bench.intake_speed import _serve
from tests.faults.market.stack import TIMES, Stack, running_stack
from tests.providers.signing import Signer

KILLS, CLIENTS = 5 * TIMES, 6


class Client(threading.Thread):
    """Sends one body until it is answered, then the next: what a lost answer leaves open is sent again."""

    def __init__(self, signer: Signer, maker: Maker, size: int) -> None:
        super().__init__()
        self.signer, self.maker, self.size = signer, maker, size
        self.port, self.stopping = 0, False
        self.acknowledged, self.again, self.faults = 0, 0, []

    def run(self) -> None:
        while not self.stopping:
            body = self.maker.body(self.size)
            for attempt in itertools.count():
                status, text = self._send(body)
                if status == 200:
                    good = text.count(b'"accepted"') + text.count(b'"replayed"')
                    self.acknowledged += good
                    self.again += attempt > 0 and b'"replayed"' in text
                    if good != self.size:
                        self.faults.append(text)
                    break
                if status not in {0, 503}:
                    self.faults.append(text)
                    break
                time.sleep(0.05)

    def _send(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            uri = f"http://127.0.0.1:{self.port}{PATH}"
            connection.request("POST", PATH, body, self.signer.headers("POST", uri, body, at=datetime.now(UTC)))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()


@pytest.fixture
def stack():
    with running_stack() as found:
        yield found


def test_what_was_acknowledged_is_stored_once(stack: Stack) -> None:
    dice = random.Random(11)
    signer = Signer(private=Ed25519PrivateKey.generate())
    about = _set_up(stack, signer)
    signer.key_id = about["key"]
    clients = [Client(signer, Maker(about), size) for size in (1, 1, 1, 7, 50, 400)]

    for kill in range(KILLS + 1):
        site = _serve(stack, f"site-{kill}", "config.asgi:application")
        for client in clients:
            client.port = site.port
            if kill == 0:
                client.start()
        time.sleep(dice.uniform(0.5, 2.0))
        if kill < KILLS:
            (process,) = [one for one in stack.started if one.pid == site.pid]
            process.kill()
            process.wait(10)
            stack.started.remove(process)
    for client in clients:
        client.stopping = True
    for client in clients:
        client.join(60)

    assert [client.faults for client in clients] == [[]] * CLIENTS
    acknowledged = sum(client.acknowledged for client in clients)
    stored = stack.rows("SELECT count(*), count(DISTINCT key), sum(prompt_tokens) FROM metering_usage_record")[0]
    assert stored[0] == stored[1] == acknowledged > 500
    assert stack.rows("SELECT sum(records), sum(prompt_tokens) FROM metering_bucket")[0] == (stored[0], stored[2])
    assert stack.rows("SELECT count(*) FROM metering_usage_key")[0][0] == acknowledged
    assert stack.rows("SELECT count(*) FROM metering_sequence")[0][0] == acknowledged
    assert stack.rows("SELECT count(*) FROM metering_conflict")[0][0] == 0
    print(
        f"{KILLS} kills, {acknowledged:,} records acknowledged, {sum(c.again for c in clients)} bodies answered as replays"
    )
