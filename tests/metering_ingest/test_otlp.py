"""OTLP metrics: token counters become witnesses, once; all else is accepted and passed over; nothing becomes a record."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from metering_ingest import selectors
from metering_ingest.api import otlp as api_otlp
from metering_ingest.kernel import otlp
from metering_ingest.models import UsageRecord, Witness
from tests.metering_ingest.faces import here
from tests.metering_ingest.scene import HOUR, NOW, Bought, build
from tests.providers.test_api import Api

PATH = "/api/v1/otlp/v1/metrics"
TOKENS = "gen_ai.client.token.usage"


def nanos(minutes: int) -> str:
    return str(int((HOUR + timedelta(minutes=minutes)).timestamp()) * 10**9)


def point(value: Any, kind: str = "input", *, start: int = 0, end: int = 1, **more: Any) -> dict[str, Any]:
    attributes = [{"key": "gen_ai.token.type", "value": {"stringValue": kind}}]
    return {
        "startTimeUnixNano": nanos(start), "timeUnixNano": nanos(end), "attributes": attributes,
        **({"sum": value, "count": "1"} if isinstance(value, float) else {"asInt": value}), **more,
    }  # fmt: skip


def export(*metrics: dict[str, Any], service: str = "chat") -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {
        "resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": {"name": "s"}, "metrics": [*metrics]}]}]
    }


def counter(*points: dict[str, Any], name: str = TOKENS, temporality: int = 1) -> dict[str, Any]:
    return {"name": name, "sum": {"aggregationTemporality": temporality, "isMonotonic": True, "dataPoints": [*points]}}


def histogram(*points: dict[str, Any], name: str = TOKENS, temporality: int = 1) -> dict[str, Any]:
    return {"name": name, "histogram": {"aggregationTemporality": temporality, "dataPoints": [*points]}}


def as_protobuf(value: dict[str, Any]) -> bytes:
    return json_format.Parse(json.dumps(value), ExportMetricsServiceRequest()).SerializeToString()


@pytest.fixture
def bought(db: None, monkeypatch: pytest.MonkeyPatch) -> Bought:
    here(monkeypatch, at=HOUR + timedelta(hours=3))
    return build()


@pytest.fixture
def api(bought: Bought) -> Api:
    return Api(bought.buyer, "usage:read", "usage:write", now=NOW)


def send(api: Api, raw: Any, content_type: str = "application/json", **headers: str) -> Any:
    body = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return api._client.post(PATH, body, content_type=content_type, headers=headers)


class TestKeeping:
    def test_json_and_protobuf_are_alike_and_once(self, api: Api) -> None:
        body = export(histogram(point(900.0), point(200.0, "output")))

        first = send(api, body)
        second = send(api, as_protobuf(body), "application/x-protobuf", **{"accept": "application/x-protobuf"})

        assert (first.status_code, first.json(), first["content-type"]) == (200, {}, "application/json")
        assert (second.status_code, second.content) == (200, b"")
        assert second["content-type"] == "application/x-protobuf"
        assert sorted(Witness.objects.values_list("token_type", "value")) == [("input", 900), ("output", 200)]
        assert not UsageRecord.objects.exists() and selectors.verify() == []

    def test_hours_add_deltas_and_what_cumulative_counters_grew_by(self, api: Api, bought: Bought) -> None:
        send(api, export(counter(point("5", end=1), point("7", end=61, start=1))))
        send(api, export(counter(point("10", end=2), point("15", end=62), name="gen_ai.client.inference.usage.output_tokens",
                                 temporality=2)))  # fmt: skip

        found = [
            (one["hour"][11:13], one["token_type"], one["tokens"])
            for one in api.get("/metering/witnesses").json()["data"]
        ]

        assert found == [
            ("17", "output_tokens", "5"),
            ("17", "input", "7"),
            ("16", "output_tokens", "10"),
            ("16", "input", "5"),
        ]
        foreign = Api(bought.provider, "usage:read", now=NOW)
        assert foreign.get("/metering/witnesses").json()["data"] == []

    def test_series_differ_by_resource_and_attributes(self, api: Api) -> None:
        send(api, export(counter(point("5")), service="a"))
        send(api, export(counter(point("5")), service="b"))
        model = {"key": "gen_ai.request.model", "value": {"stringValue": "llama"}}
        send(api, export(counter(point("5", attributes=[*point("5")["attributes"], model])), service="b"))

        assert len(set(Witness.objects.values_list("attributes"))) == 3

    def test_the_first_value_of_an_interval_stays(self, api: Api) -> None:
        send(api, export(counter(point("5"))))
        send(api, export(counter(point("6"))))

        assert Witness.objects.get().value == 5
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE metering_witness SET value = 6")


class TestPassingOver:
    def test_other_metrics_are_accepted_with_a_word(self, api: Api) -> None:
        other = {"name": "http.server.duration", "gauge": {"dataPoints": [{"asInt": "1", "timeUnixNano": nanos(1)}]}}

        said = send(api, as_protobuf(export(other, counter(point("5")))), "application/x-protobuf")

        partial = ExportMetricsServiceResponse.FromString(said.content).partial_success
        assert (partial.rejected_data_points, "1 data points of other" in partial.error_message) == (0, True)
        assert Witness.objects.count() == 1

    @pytest.mark.parametrize(
        "metric",
        [
            counter(point("-1")),
            histogram(point(0.5)),
            histogram(point(float(2**60))),
            histogram({**point(1.0), "sum": None}),
            counter({**point("1"), "timeUnixNano": "0"}),
            counter(point("1", start=2, end=1)),
            counter({**point("1"), "attributes": []}),
            counter(point("1", "<b>")),
            counter(point("1", flags=1)),
            {"name": TOKENS, "gauge": {"dataPoints": [point("1")]}},
            {"name": TOKENS, "sum": {"isMonotonic": False, "dataPoints": [point("1")]}},
        ],
    )
    def test_what_is_no_count_is_refused_alone(self, api: Api, metric: dict[str, Any]) -> None:
        said = send(api, export(metric, counter(point("7")))).json()

        assert said["partialSuccess"]["rejectedDataPoints"] == "1"
        assert Witness.objects.get().value == 7


class TestRefusing:
    @pytest.mark.parametrize(
        ("raw", "content_type", "headers", "status", "code"),
        [
            (b"{", "application/json", {}, 400, "malformed_body"),
            (b'{"resourceMetrics":1}', "application/json", {}, 400, "malformed_body"),
            (b"\xff\xfe", "application/json", {}, 400, "malformed_body"),
            (b"[" * 100_000, "application/json", {}, 400, "malformed_body"),
            (b"\xff\xff\xff", "application/x-protobuf", {}, 400, "malformed_body"),
            (b"x", "application/json", {"content-encoding": "gzip"}, 400, "bad_encoding"),
            (gzip.compress(b" " * 5 * 2**20), "application/json", {"content-encoding": "gzip"}, 413, "body_too_large"),
            (b" " * (4 * 2**20 + 1), "application/json", {}, 413, "body_too_large"),
            (b"{}", "application/json", {"content-encoding": "br"}, 415, "unsupported_content_type"),
            (b"{}", "text/plain", {}, 415, None),
        ],
    )  # fmt: skip
    def test_bad_bodies_have_codes(
        self, api: Api, raw: bytes, content_type: str, headers: dict[str, str], status: int, code: str | None
    ) -> None:
        said = send(api, raw, content_type, **headers)

        assert said.status_code == status, said.content
        assert code is None or said.json()["code"] == code
        assert not Witness.objects.exists()

    def test_gzip_is_read(self, api: Api) -> None:
        raw = gzip.compress(json.dumps(export(counter(point("5")))).encode())
        assert send(api, raw, **{"content-encoding": "gzip"}).status_code == 200
        assert Witness.objects.count() == 1

    def test_too_many_points(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(otlp, "MOST_POINTS", 1)
        said = send(api, export(counter(point("5"), point("5", "output"))))
        assert (said.status_code, said.json()["code"]) == (400, "malformed_body")

    def test_needs_a_key_that_may_write(self, api: Api, bought: Bought) -> None:
        reader = Api(bought.buyer, "usage:read", now=NOW)
        assert send(reader, export()).status_code == 403
        from django.test import Client

        assert Client().post(PATH, b"{}", content_type="application/json").status_code == 401
        assert api_otlp.MOST_BYTES == 4 * 2**20
