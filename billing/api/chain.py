"""Why an invoice line is what it is, over REST."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.pagination import BadCursor, entry_number
from accounts.http.views import ApiView
from billing.http import chain_file, invoice_ids, record_key
from billing.selectors.chain import NoSuchLine
from billing.services import chain

_RATED, _RECORDS = 100, 500


class InvoiceLineSerializer(serializers.Serializer):
    """One line with what it sums; whole numbers as text. `exact` is in 10^-18 yuan, `next` the following page's cursor."""

    line = serializers.DictField(child=serializers.CharField())
    rated_lines = serializers.ListField(child=serializers.JSONField())
    allocations = serializers.ListField(child=serializers.JSONField())
    charges = serializers.ListField(child=serializers.JSONField())
    buckets = serializers.ListField(child=serializers.JSONField())
    next = serializers.CharField(allow_null=True)


class RecordPageSerializer(serializers.Serializer):
    """Usage records of one bucket in the order of their keys, each with its hash."""

    data = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    next = serializers.CharField(allow_null=True)


class InvoiceLine(ApiView):
    """The levels behind a line, without the records."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(
        parameters=[OpenApiParameter("cursor", str)], responses=InvoiceLineSerializer, operation_id="invoice_lines_get"
    )
    def get(self, request: Request, public_id: str, number: int) -> Response:
        """Rated lines by page, each with its allocation (round, price, certificate) and bucket, or its charge."""
        (invoice_id,) = invoice_ids([public_id])
        cursor = request.query_params.get("cursor", "")
        after = entry_number(cursor or "0")
        if after is None:
            raise BadCursor("The cursor is not one that this list gave.")
        found = chain.behind(invoice_id, number, actor=self.actor, after=after, limit=_RATED)
        body = {
            "line": found.line, "rated_lines": found.rated_lines, "allocations": found.allocations,
            "charges": found.charges, "buckets": found.buckets, "next": found.next and str(found.next),
        }  # fmt: skip
        return Response(body)


class LineRecords(ApiView):
    """The usage records of one bucket behind a line."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(
        parameters=[OpenApiParameter("bucket", str, required=True), OpenApiParameter("cursor", str)],
        responses=RecordPageSerializer,
        operation_id="invoice_lines_records",
    )
    def get(self, request: Request, public_id: str, number: int) -> Response:
        """By key, 500 a page."""
        (invoice_id,) = invoice_ids([public_id])
        bucket = entry_number(request.query_params.get("bucket", ""))
        if bucket is None:
            raise NoSuchLine("This line has no such bucket.")
        after = record_key(request.query_params.get("cursor", ""))
        found = chain.records(invoice_id, number, bucket, actor=self.actor, after=after, limit=_RECORDS + 1)
        following = found[_RECORDS - 1]["key"] if len(found) > _RECORDS else None
        return Response({"data": found[:_RECORDS], "next": following})


class LineChain(ApiView):
    """The whole proof of a line."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(responses=OpenApiTypes.OBJECT, operation_id="invoice_lines_chain")
    def get(self, request: Request, public_id: str, number: int) -> HttpResponse:
        """One file, which `tokenspot verify-line` checks without the site; 422 `chain_too_long` above 200,000 records."""
        (invoice_id,) = invoice_ids([public_id])
        return chain_file(chain.document(invoice_id, number, actor=self.actor))
