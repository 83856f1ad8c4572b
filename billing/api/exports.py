"""Exports over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.pagination import page
from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.selectors import clock
from billing import selectors, services
from billing.http import file_response
from billing.models import Export


class ExportInSerializer(StrictSerializer):
    """What to export: `files` as zip, or `lines` as csv, xlsx or zip; of invoices whose period touches the days given."""

    kind = serializers.ChoiceField(choices=["files", "lines"])
    format = serializers.ChoiceField(choices=["zip", "csv", "xlsx"])
    first_date = serializers.DateField(required=False)
    last_date = serializers.DateField(required=False)


class ExportSerializer(serializers.Serializer):
    """One export with its progress: `done` of `invoices`; size and hash once it is ready."""

    id = serializers.CharField()
    kind = serializers.CharField()
    format = serializers.CharField()
    first_date = serializers.DateField(allow_null=True)
    last_date = serializers.DateField(allow_null=True)
    state = serializers.ChoiceField(choices=Export.State.choices)
    invoices = serializers.IntegerField()
    done = serializers.IntegerField()
    rows = serializers.IntegerField()
    size_bytes = serializers.CharField()
    sha256 = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)


class Exports(ApiView):
    """Exports of the organisation."""

    required_scopes = {"GET": "billing:read", "POST": "billing:read"}

    @extend_schema(responses=ExportSerializer(many=True), operation_id="exports_list")
    def get(self, request: Request) -> Response:
        """Newest first, by cursor."""
        return page(request, selectors.exports(self.actor), prefix="exp", shape=_shape)

    @extend_schema(request=ExportInSerializer, responses={202: ExportSerializer}, operation_id="exports_make")
    def post(self, request: Request) -> Response:
        """Ask for an export; a task makes it. 422 `bad_export` where nothing is in the selection."""
        checked = ExportInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        wanted, now = checked.validated_data, clock.now()
        days = {name: wanted.get(name) for name in ("first_date", "last_date")}

        def effect() -> dict[str, Any]:
            made = services.exports.request(
                kind=wanted["kind"], format=wanted["format"], **days, actor=self.actor, now=now
            )
            return {"id": ids.encode("exp", made)}

        payload = {name: str(value) for name, value in wanted.items()}
        once = self.once(request, operation="exports.make", payload=payload, now=now, effect=effect)
        return Response(_shape(selectors.export_row(_uuid(once.body["id"]), actor=self.actor)), status=202)


class ExportDetail(ApiView):
    """One export."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(responses=ExportSerializer, operation_id="exports_get")
    def get(self, request: Request, public_id: str) -> Response:
        """Its state and progress."""
        return Response(_shape(selectors.export_row(_uuid(public_id), actor=self.actor)))


class ExportFile(ApiView):
    """The file of an export."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY}, operation_id="exports_file")
    def get(self, request: Request, public_id: str) -> HttpResponse:
        """The bytes; 409 `export_not_ready` before it is made and after its seven days."""
        return file_response(services.exports.file(_uuid(public_id), actor=self.actor, now=clock.now()))


def _shape(export: Export) -> dict[str, Any]:
    names = ("kind", "format", "first_date", "last_date", "state", "invoices", "done", "rows", "created_at",
             "finished_at", "expires_at")  # fmt: skip
    body = {
        "id": ids.encode("exp", export.id), **{name: getattr(export, name) for name in names},
        "size_bytes": str(export.size_bytes), "sha256": export.sha256 or None,
    }  # fmt: skip
    return ExportSerializer(body).data


def _uuid(public_id: str) -> UUID:
    try:
        return ids.decode("exp", public_id)
    except ids.BadId:
        raise selectors.NoSuchExport("There is no such export.") from None
