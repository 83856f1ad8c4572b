"""Backfills over REST, for staff only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.parsers import BodyTooLarge
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.selectors import clock
from metering_ingest.http import results_response
from metering_ingest.kernel.files import MAX_FILE_BYTES
from metering_ingest.selectors import backfills as reads
from metering_ingest.services import backfills


class _FileParser(BaseParser):
    """The body as it came, larger than other bodies may be."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """All of it, of staff only: what others send is not read.

        :raises BodyTooLarge: more than a file may have.
        """
        if not reads.may_backfill(parser_context["view"].actor):
            return b""
        raw = stream.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise BodyTooLarge("A file has at most 32 MiB.")
        return raw


class NdjsonParser(_FileParser):
    """One record a line."""

    media_type = "application/x-ndjson"


class JsonFileParser(_FileParser):
    """An array of records, or a body of the records face."""

    media_type = "application/json"


class BackfillSerializer(serializers.Serializer):
    """A job. `state` is queued, running or done; `counts` are its records so far by result."""

    id = serializers.CharField()
    organisation = serializers.CharField()
    name = serializers.CharField()
    sha256 = serializers.CharField()
    reason = serializers.CharField()
    state = serializers.CharField()
    records = serializers.IntegerField()
    records_done = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField())
    made_at = serializers.DateTimeField()
    done_at = serializers.DateTimeField(allow_null=True)


class BackfillListSerializer(serializers.Serializer):
    """The newest 100, newest first."""

    data = BackfillSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class Backfills(ApiView):
    """Files of records beyond the window of 35 days."""

    required_scopes = {"GET": "usage:read", "POST": "usage:write"}
    parser_classes = (NdjsonParser, JsonFileParser)

    @extend_schema(responses=BackfillListSerializer, operation_id="metering_backfills")
    def get(self, request: Request) -> Response:
        """Of all organisations; empty for who is not staff."""
        return Response({"data": [_body(one) for one in reads.backfills(self.actor)], "next": None})

    @extend_schema(
        parameters=[
            OpenApiParameter("organisation", str, required=True, description="whose records they are"),
            OpenApiParameter("reason", str, required=True, description="for the audit log"),
            OpenApiParameter("name", str, description="of the file"),
        ],
        request={"application/x-ndjson": OpenApiTypes.STR, "application/json": OpenApiTypes.OBJECT},
        responses={202: BackfillSerializer},
        operation_id="metering_backfills_create",
    )
    def post(self, request: Request) -> Response:
        """Take in a file in the background. The same file again, while it is under way, answers with the same job."""
        made = backfills.start(
            _raw(request),
            organisation_id=_organisation(request),
            name=request.query_params.get("name", ""),
            reason=request.query_params.get("reason", ""),
            actor=self.actor,
            now=clock.now(),
        )
        return Response(_body(made), status=202)


class BackfillDetail(ApiView):
    """One job."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses=BackfillSerializer, operation_id="metering_backfill")
    def get(self, request: Request, public_id: str) -> Response:
        """Its progress."""
        return Response(_body(reads.backfill(_id(public_id), self.actor)))


class Results(ApiView):
    """What became of each record."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(
        responses={(200, "application/x-ndjson"): OpenApiTypes.STR}, operation_id="metering_backfill_results"
    )
    def get(self, request: Request, public_id: str) -> StreamingHttpResponse:
        """One JSON object a line, in the file's order; of what is done so far."""
        return results_response(public_id, reads.results(_id(public_id), self.actor))


def _body(view: reads.BackfillView) -> dict[str, Any]:
    return {
        **BackfillSerializer(view).data,
        "id": ids.encode("bfl", view.id),
        "organisation": ids.encode("org", view.organisation_id),
    }


def _raw(request: Request) -> bytes:
    body: Any = request.data
    return body if isinstance(body, bytes) else b""


def _organisation(request: Request) -> UUID:
    try:
        return ids.decode("org", request.query_params.get("organisation", ""))
    except ids.BadId:
        raise serializers.ValidationError({"organisation": [ErrorDetail("No organisation's id.", "invalid")]}) from None


def _id(public_id: str) -> UUID:
    try:
        return ids.decode("bfl", public_id)
    except ids.BadId:
        raise reads.NoSuchBackfill("There is no such backfill.") from None
