"""Other people's clients against the real ASGI server: the CloudEvents SDK, and OpenMeter's where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cloudevents.core.bindings import http as binding
from cloudevents.core.v1.event import CloudEvent
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metering_ingest.kernel.events import BATCH, TYPE
from tests.bench.ingest_speed import _set_up
from tests.bench.intake_speed import _serve
from tests.faults.market.stack import ROOT, Stack, running_stack
from tests.metering_ingest.test_otlp import as_protobuf, counter, export, point
from tests.providers.signing import Signer

OPENMETER = Path(os.environ.get("OPENMETER_PYTHON") or ROOT / ".venv-openmeter" / "bin" / "python")
KEY = """
import pathlib, sys
import django
django.setup()
from uuid import UUID
from accounts import services
from accounts.selectors import actors, clock
actor = actors.of_organisation(UUID(sys.argv[2]))
made = services.keys.create(actor=actor, name="sdk", scopes=["usage:write", "usage:read"], now=clock.now())
pathlib.Path(sys.argv[1]).write_text(made.secret)
"""


@dataclass(frozen=True)
class Face:
    """A running site, the key of a provider, and what it sold."""

    stack: Stack
    url: str
    key: str
    about: dict[str, str]

    def data(self, prompt: int) -> dict[str, object]:
        return {"allocation": self.about["allocation"], "card": self.about["card"], "prompt_tokens": prompt,
                "completion_tokens": 5}  # fmt: skip

    def stored(self) -> list[tuple[str, int]]:
        rows = self.stack.rows("SELECT event_id, prompt_tokens FROM metering_usage_record WHERE evidence = 'unsigned'")
        return sorted((str(name), int(prompt)) for name, prompt in rows)


@pytest.fixture(scope="module")
def face() -> Iterator[Face]:
    with running_stack() as stack:
        about = _set_up(stack, Signer(private=Ed25519PrivateKey.generate()))
        path = stack.state / "sdk-key"
        process = stack.start("key", "-c", KEY, str(path), about["seller"])
        assert process.wait(60) == 0, stack.log("key")
        site = _serve(stack, "site", "config.asgi:application")
        yield Face(stack, f"http://127.0.0.1:{site.port}", path.read_text(), about)


@pytest.mark.timeout(600)
class TestCloudEvents:
    def test_binary_structured_and_batch_count_once_each(self, face: Face) -> None:
        events = [
            CloudEvent(
                {"id": f"sdk-{n}", "source": "sdk/test", "type": TYPE, "time": datetime.now(UTC), "specversion": "1.0",
                 "subject": f"request-{n}", "datacontenttype": "application/json"},
                face.data(100 + n),
            )
            for n in range(3)
        ]  # fmt: skip
        binary, structured = binding.to_binary_event(events[0]), binding.to_structured_event(events[1])
        whole = [json.loads(binding.to_structured_event(one).body) for one in events]

        for headers, body in [
            (binary.headers, binary.body),
            (structured.headers, structured.body),
            ({"content-type": BATCH}, json.dumps(whole).encode()),
        ]:
            answer = httpx.post(
                f"{face.url}/api/v1/events", content=body, headers={**headers, "authorization": f"Bearer {face.key}"}
            )
            assert answer.status_code == 204, answer.text

        assert [one for one in face.stored() if one[0].startswith("sdk-")] == [
            ("sdk-0", 100),
            ("sdk-1", 101),
            ("sdk-2", 102),
        ]


@pytest.mark.timeout(600)
def test_an_exporters_metrics_become_witnesses(face: Face) -> None:
    """OTLP in chunks, as exporters send it, and with a body larger than other bodies may be."""
    raw = as_protobuf(export(counter(point("5")), service="x" * 2_000_000))
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {face.key}"}

    for content in (raw, iter([raw[:100_000], raw[100_000:]])):
        answer = httpx.post(f"{face.url}/api/v1/otlp/v1/metrics", content=content, headers=headers, timeout=60)
        assert (answer.status_code, answer.content) == (200, b""), answer.text

    assert face.stack.rows("SELECT metric, value FROM metering_witness") == [("gen_ai.client.token.usage", 5)]


@pytest.mark.timeout(600)
@pytest.mark.skipif(not OPENMETER.exists(), reason="OpenMeter's client is not installed: make test-openmeter")
def test_openmeter_counts_once(face: Face) -> None:
    events = [
        {"id": f"om-{n}", "source": "openmeter/test", "type": TYPE, "time": datetime.now(UTC).isoformat(),
         "specversion": "1.0", "subject": f"request-{n}", "datacontenttype": "application/json", "data": face.data(200 + n)}
        for n in range(3)
    ]  # fmt: skip
    program = Path(__file__).parent / "optional" / "openmeter_client.py"

    done = subprocess.run(
        [str(OPENMETER), str(program), face.url, face.key], input=json.dumps(events).encode(), capture_output=True,
        timeout=120, check=False,
    )  # fmt: skip

    assert done.stdout.strip() == b"sent", done.stderr.decode()[-2000:]
    assert [one for one in face.stored() if one[0].startswith("om-")] == [("om-0", 200), ("om-1", 201), ("om-2", 202)]
