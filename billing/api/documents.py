"""Files over REST that are of more than one invoice."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from accounts.http.views import ApiView
from accounts.selectors import clock
from billing import services
from billing.http import file_response, invoice_ids


class InvoiceArchive(ApiView):
    """Several invoices as one ZIP."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(
        parameters=[OpenApiParameter("id", str, many=True, description="an invoice; up to 50 of them")],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
        operation_id="invoices_archive",
    )
    def get(self, request: Request) -> HttpResponse:
        """PDF in both languages, CSV, XLSX and JSON of each, with `manifest.json` and `SHA256SUMS`."""
        wanted = invoice_ids(request.query_params.getlist("id"))
        return file_response(services.invoices_zip(wanted, actor=self.actor, now=clock.now()))
