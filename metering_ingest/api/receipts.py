"""Receipts over REST: what an organisation's own clients or engines were told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.parsers import MAX_BYTES, BodyTooLarge
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.selectors import clock
from metering_ingest.services import receipts


class CsvParser(BaseParser):
    """The body as it came."""

    media_type = "text/csv"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """All of it.

        :raises BodyTooLarge: more than a body may have.
        """
        raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BodyTooLarge
        return raw


class ReceiptsSerializer(serializers.Serializer):
    """What became of a file: numbers, and the request ids of what was not counted."""

    accepted = serializers.IntegerField()
    replayed = serializers.IntegerField()
    conflicts = serializers.ListField(child=serializers.CharField())
    quarantined = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    unknown = serializers.ListField(
        child=serializers.CharField(), help_text="no request of yours has this id; not stored"
    )


class Receipts(ApiView):
    """What the organisation's own programs were told of its requests."""

    required_scopes = {"POST": "usage:write"}
    parser_classes = (CsvParser,)

    @extend_schema(
        parameters=[OpenApiParameter("allocation", str, description="for requests that the gateway does not know")],
        request={"text/csv": OpenApiTypes.STR},
        responses=ReceiptsSerializer,
        operation_id="receipts_upload",
    )
    def post(self, request: Request) -> Response:
        """Take in a CSV with the columns request_id,prompt,cached,completion,time; the same file again changes nothing."""
        taken = receipts.upload(_body(request), actor=self.actor, now=clock.now(), allocation_id=_allocation(request))
        body = {
            "accepted": taken.accepted,
            "replayed": taken.replayed,
            "conflicts": list(taken.conflicts),
            "quarantined": [list(one) for one in taken.quarantined],
            "unknown": list(taken.unknown),
        }
        return Response(ReceiptsSerializer(body).data)


def _body(request: Request) -> bytes:
    """The file; a request without a body has none."""
    body: Any = request.data
    return body if isinstance(body, bytes) else b""


def _allocation(request: Request) -> UUID | None:
    text = request.query_params.get("allocation")
    try:
        return ids.decode("alc", text) if text else None
    except ids.BadId:
        raise serializers.ValidationError({"allocation": [ErrorDetail("No allocation's id.", "invalid")]}) from None
