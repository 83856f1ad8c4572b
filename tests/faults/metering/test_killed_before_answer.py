"""The web process dies between commit and answer: the client sends again, is told `replayed`, and it counts once."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from market.services.failpoints import VARIABLE
from tests.bench.ingest_speed import PATH, Maker, _set_up
from tests.bench.intake_speed import _serve, free_port, wait_until
from tests.faults.market.stack import Stack, running_stack
from tests.providers.signing import Signer

SIZE = 40


def post(port: int, signer: Signer, body: bytes) -> list[str] | None:
    """The results of a batch; None where the connection ended without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = signer.headers("POST", f"http://127.0.0.1:{port}{PATH}", body, at=datetime.now(UTC))
    try:
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return [one["result"] for one in json.loads(answer.read())["results"]]
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@pytest.mark.timeout(600)
def test_a_retry_after_a_lost_answer_is_replayed_and_counted_once() -> None:
    with running_stack() as stack:
        signer = Signer(private=Ed25519PrivateKey.generate())
        about = _set_up(stack, signer)
        signer.key_id = about["key"]
        body = Maker(about).body(SIZE)
        port = free_port()
        doomed = stack.start(
            "doomed", "-W", "ignore", "-m", "uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port",
            str(port), "--log-level", "warning", "--no-access-log", **{VARIABLE: "native.before_answer"},
        )  # fmt: skip
        wait_until(lambda: _listens(port), 60, "no answer of the doomed site")

        assert post(port, signer, body) is None
        assert doomed.wait(30) == -9
        assert _stored(stack) == SIZE  # committed, and nobody was told

        site = _serve(stack, "site", "config.asgi:application")
        assert post(site.port, signer, body) == ["replayed"] * SIZE
        assert _stored(stack) == SIZE
        assert stack.rows("SELECT sum(records) FROM metering_bucket")[0][0] == SIZE
        assert stack.rows("SELECT count(*) FROM metering_sequence")[0][0] == SIZE


def _stored(stack: Stack) -> int:
    return int(stack.rows("SELECT count(*) FROM metering_usage_record")[0][0])


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")  # answered by Django, which has no such place to die
        return connection.getresponse().status > 0
    except OSError:
        return False
    finally:
        connection.close()
