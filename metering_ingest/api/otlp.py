"""OTLP/HTTP metrics: token counters of programs' own telemetry, as witnesses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.parsers import BodyTooLarge
from accounts.http.views import ApiView
from accounts.selectors import clock
from metering_ingest import selectors
from metering_ingest.kernel import otlp
from metering_ingest.kernel.inflate import BadEncoding, TooLarge, gunzip
from metering_ingest.services import witnesses

MOST_BYTES = 4 * 1024 * 1024
PROTOBUF, JSON = "application/x-protobuf", "application/json"
_SHOWN = timedelta(days=30)


class MalformedBody(exceptions.ParseError):
    """Not an export of metrics."""

    default_code = "malformed_body"


class Encoding(exceptions.ParseError):
    """Not one complete gzip stream."""

    default_code = "bad_encoding"


class UnsupportedEncoding(exceptions.APIException):
    """Compressed by something other than gzip."""

    status_code = 415
    default_code = "unsupported_content_type"
    default_detail = "Bodies may be compressed by gzip only."


class _Raw(BaseParser):
    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """The body as it came.

        :raises BodyTooLarge: more than a body may have.
        """
        raw = stream.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise BodyTooLarge("A body has at most 4 MiB.")
        return raw


class _ProtobufParser(_Raw):
    media_type = PROTOBUF


class _JsonParser(_Raw):
    media_type = JSON


class WitnessHourSerializer(serializers.Serializer):
    """Tokens of one hour by one metric."""

    hour = serializers.DateTimeField()
    metric = serializers.CharField()
    token_type = serializers.CharField()
    tokens = serializers.CharField()


class WitnessHoursSerializer(serializers.Serializer):
    """Newest first, at most 1,000."""

    data = WitnessHourSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class Metrics(ApiView):
    """Where an OpenTelemetry exporter sends metrics."""

    required_scopes = {"POST": "usage:write"}
    parser_classes = (_ProtobufParser, _JsonParser)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """The answer is in the request's own encoding, whatever is asked for."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        request={PROTOBUF: OpenApiTypes.BINARY, JSON: OpenApiTypes.OBJECT},
        responses={(200, PROTOBUF): OpenApiTypes.BINARY, (200, JSON): OpenApiTypes.OBJECT},
        operation_id="otlp_metrics",
    )
    def post(self, request: Request) -> HttpResponse:
        """Keeps `gen_ai.client.token.usage` and `gen_ai.client.inference.usage.*`; accepts and ignores the rest."""
        as_json = request.content_type.split(";", 1)[0].strip().lower() == JSON
        try:
            export = otlp.parse(_body(request), as_json=as_json)
        except (otlp.MalformedExport, otlp.TooManyPoints) as error:
            raise MalformedBody(str(error)) from None
        witnesses.keep(export.points, actor=self.actor, now=clock.now())
        return HttpResponse(otlp.answer(export, as_json=as_json), content_type=JSON if as_json else PROTOBUF)


class Witnesses(ApiView):
    """What the organisation's own telemetry counted."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses=WitnessHoursSerializer, operation_id="metering_witnesses")
    def get(self, request: Request) -> Response:
        """Totals by hour of the last 30 days. They are witnesses: nothing is billed by them."""
        since = clock.now() - _SHOWN
        rows = selectors.witness_hours(self.actor.organisation_id, since=since)
        return Response({"data": WitnessHourSerializer(rows, many=True).data, "next": None})


def _body(request: Request) -> bytes:
    raw: Any = request.data
    raw = raw if isinstance(raw, bytes) else b""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return raw
    if encoding != "gzip":
        raise UnsupportedEncoding
    try:
        return gunzip(raw, most=MOST_BYTES)
    except TooLarge:
        raise BodyTooLarge("A body has at most 4 MiB once inflated.") from None
    except BadEncoding as error:
        raise Encoding(str(error)) from None
