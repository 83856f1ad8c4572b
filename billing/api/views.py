"""Billing over REST: balance, usage, invoices and their files."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.pagination import BadCursor, entry_number, page
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.decimals import plain_yuan
from accounts.selectors import clock
from billing import selectors, services
from billing.api import serializers as shapes
from billing.documents.figures import from_dict
from billing.http import USAGE_DAYS, XLSX, file_response
from billing.services.topups import UnknownBuyer
from ledger import selectors as ledger
from market import selectors as market
from market.kernel.errors import NotFound
from market.kernel.text import micros_of

_COUNTS = (
    "bought_st", "metered_micro_st", "billed_micro_st", "requests", "input_tokens", "cached_tokens", "output_tokens",
)  # fmt: skip


class Balance(ApiView):
    """The organisation's wallet."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(responses=shapes.BalanceSerializer, operation_id="balance")
    def get(self, request: Request) -> Response:
        """Posted, held and available."""
        wallet = ledger.wallet(self.actor.organisation_id, "CNY")
        amounts = {"posted": wallet.posted_micros, "held": wallet.held_micros, "available": wallet.available_micros}
        return Response({"currency": "CNY", **{name: plain_yuan(micros) for name, micros in amounts.items()}})


class Movements(ApiView):
    """What moved in the wallet."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(
        parameters=[OpenApiParameter("cursor", str)],
        responses=shapes.MovementPageSerializer,
        operation_id="movements",
    )
    def get(self, request: Request) -> Response:
        """Newest first, by cursor; each page has 100."""
        cursor = request.query_params.get("cursor", "")
        before = entry_number(cursor)
        if cursor and before is None:
            raise BadCursor("The cursor is not one that this list gave.")
        found = selectors.movements(self.actor, before=before, limit=101)
        following = str(found[99].entry_id) if len(found) > 100 else None
        body = {"data": [shapes.movement(one) for one in found[:100]], "next": following}
        return Response(shapes.MovementPageSerializer(body).data)


class TopUps(ApiView):
    """Money that reached wallets from the bank."""

    required_scopes = {"GET": "billing:read", "POST": "billing:write"}

    @extend_schema(responses=shapes.TopUpPageSerializer, operation_id="top_ups_list")
    def get(self, request: Request) -> Response:
        """The organisation's own, newest first, by cursor."""
        return page(request, selectors.top_ups(self.actor), prefix="top", shape=shapes.top_up)

    @extend_schema(
        request=shapes.TopUpInSerializer, responses={201: shapes.TopUpSerializer}, operation_id="top_ups_record"
    )
    def post(self, request: Request) -> Response:
        """Record a bank transfer (the operator only). The bank's reference makes a repeat the same top-up."""
        checked = shapes.TopUpInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        try:
            organisation_id = ids.decode("org", checked.validated_data["organisation"])
        except ids.BadId:
            raise UnknownBuyer("No organisation that buys has this id.") from None
        made = services.topups.record(
            organisation_id=organisation_id,
            amount_micros=micros_of(checked.validated_data["amount"]),
            reference=checked.validated_data["reference"],
            actor=self.actor,
            now=clock.now(),
        )
        return Response(shapes.top_up(selectors.top_up(made)), status=201)


class Usage(ApiView):
    """Bought, metered and billed by product."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses=shapes.UsagePageSerializer, operation_id="usage")
    def get(self, request: Request) -> Response:
        """The last 30 days, newest window first."""
        since = clock.now() - timedelta(days=USAGE_DAYS)
        rows = [
            {
                "product": ids.encode("prd", row["product"].product_id),
                "line": row["product"].line,
                "grade": row["product"].grade,
                "window_start": row["product"].window_start,
                "window_end": row["product"].window_end,
                "billed": plain_yuan(row["billed_micros"]),
                **{name: str(row[name]) for name in _COUNTS},
            }
            for row in selectors.usage_rows(market.allocations(self.actor, since=since))
        ]
        return Response(shapes.UsagePageSerializer({"data": rows, "next": None}).data)


class OrderUsage(ApiView):
    """Delivery, metering and bill of one order."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses=shapes.OrderUsageSerializer, operation_id="orders_usage")
    def get(self, request: Request, public_id: str) -> Response:
        """What was drawn, metered and billed of what it bought or sold, and the invoices that have it."""
        try:
            order = market.order(ids.decode("ord", public_id), self.actor)
        except ids.BadId:
            raise NotFound("There is no such order.") from None
        return Response(shapes.order_usage(public_id, selectors.order_usage(order.id, self.actor)))


class Invoices(ApiView):
    """Invoices of the organisation."""

    required_scopes = {"GET": "billing:read", "POST": "billing:write"}

    @extend_schema(responses=shapes.InvoiceSummarySerializer(many=True), operation_id="invoices_list")
    def get(self, request: Request) -> Response:
        """Newest first, by cursor."""
        return page(
            request,
            selectors.invoices(self.actor),
            prefix="inv",
            shape=lambda row: shapes.InvoiceSummarySerializer(shapes.summary(row)).data,
        )

    @extend_schema(request=None, responses={201: shapes.InvoiceSerializer}, operation_id="invoices_issue")
    def post(self, request: Request) -> Response:
        """Issue an invoice of everything rated by now; 409 `nothing_to_invoice` where there is nothing."""
        actor, now = self.actor, clock.now()

        def effect() -> dict:
            return {"id": ids.encode("inv", services.invoice_to_date(actor=actor, now=now))}

        once = self.once(request, operation="invoices.issue", payload={}, now=now, effect=effect)
        return Response(_detail(self.actor, once.body["id"]), status=201)


class InvoiceDetail(ApiView):
    """One invoice."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(responses=shapes.InvoiceSerializer, operation_id="invoices_get")
    def get(self, request: Request, public_id: str) -> Response:
        """The frozen figures."""
        return Response(_detail(self.actor, public_id))


class InvoiceFile(ApiView):
    """A file of an invoice."""

    required_scopes = {"GET": "billing:read"}
    kind = "pdf"

    @extend_schema(
        parameters=[OpenApiParameter("lang", enum=["zh", "en"])],
        responses={
            (200, "application/pdf"): OpenApiTypes.BINARY,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, XLSX): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request, public_id: str) -> HttpResponse:
        """The stored bytes; `X-Content-SHA256` names their hash."""
        language = "zh" if request.query_params.get("lang") == "zh" else "en"
        document = services.invoice_file(
            _uuid(public_id), kind=self.kind, language=language, actor=self.actor, now=clock.now()
        )
        return file_response(document)


def _detail(actor: Actor, public_id: str) -> dict:
    invoice = selectors.invoice_row(_uuid(public_id), actor=actor)
    body = {
        **shapes.summary(invoice),
        "figures": invoice.figures,
        "verification": from_dict(invoice.figures).digest,
    }
    return shapes.InvoiceSerializer(body).data


def _uuid(public_id: str):
    try:
        return ids.decode("inv", public_id)
    except ids.BadId:
        raise selectors.NoSuchInvoice("There is no such invoice.") from None
