"""Payments over REST: top-up on Stripe's page, refunds, automatic top-up, invoices, and Stripe's own webhooks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.pagination import page
from accounts.http.problems import problem_response
from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.kernel.decimals import plain
from accounts.selectors import clock
from billing import selectors, services
from billing.gateways import stripe_api
from billing.http import YUAN
from billing.payment_models import Payment, PaymentProfile, Refund
from billing.selectors.payments import UnknownPayment
from billing.services.payments.webhooks import BadWebhook
from market.kernel.text import micros_of

_MOST_WEBHOOK_BYTES = 256 * 1024


class AmountInSerializer(StrictSerializer):
    """An amount in yuan with at most two decimals."""

    amount = serializers.RegexField(YUAN, max_length=13)


class PayInvoiceInSerializer(StrictSerializer):
    """On Stripe's page, or with the saved card."""

    way = serializers.ChoiceField(choices=Payment.Way.choices, default=Payment.Way.CHECKOUT)


class AutomaticInSerializer(StrictSerializer):
    """All three amounts are needed to switch it on."""

    enabled = serializers.BooleanField()
    threshold = serializers.RegexField(YUAN, max_length=13, default="0")
    amount = serializers.RegexField(YUAN, max_length=13, default="0")
    monthly_cap = serializers.RegexField(YUAN, max_length=13, default="0")


class AutomaticSerializer(serializers.Serializer):
    """Automatic top-up; `paused_reason` says why it was switched off by the site."""

    enabled = serializers.BooleanField()
    threshold = serializers.CharField()
    amount = serializers.CharField()
    monthly_cap = serializers.CharField()
    paused_reason = serializers.CharField()
    card = serializers.CharField(allow_null=True, help_text="brand and last four digits")


class PaymentSerializer(serializers.Serializer):
    """One attempt to be paid; `url` is Stripe's page while it waits for the buyer."""

    id = serializers.CharField()
    purpose = serializers.ChoiceField(choices=Payment.Purpose.choices)
    way = serializers.ChoiceField(choices=Payment.Way.choices)
    state = serializers.ChoiceField(choices=Payment.State.choices)
    reason = serializers.CharField()
    amount = serializers.CharField()
    currency = serializers.CharField()
    invoice = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)


class PaymentPageSerializer(serializers.Serializer):
    """A page of payments, newest first."""

    data = PaymentSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class RefundSerializer(serializers.Serializer):
    """Money on its way back."""

    id = serializers.CharField()
    payment = serializers.CharField()
    state = serializers.ChoiceField(choices=Payment.State.choices)
    reason = serializers.CharField()
    amount = serializers.CharField()
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)


def shape(row: Payment) -> dict[str, Any]:
    """A payment as JSON."""
    body = {
        "id": ids.encode("pay", row.id), "purpose": row.purpose, "way": row.way, "state": row.state,
        "reason": row.reason, "amount": plain(row.amount_fen, 2, at_least=2), "currency": row.currency,
        "invoice": ids.encode("inv", row.invoice_id) if row.invoice_id else None,
        "url": row.url if row.state == Payment.State.PENDING and row.url else None,
        "created_at": row.created_at, "settled_at": row.settled_at,
    }  # fmt: skip
    return dict(PaymentSerializer(body).data)


def refund_shape(row: Refund) -> dict[str, Any]:
    """A refund as JSON."""
    body = {
        "id": ids.encode("rfd", row.id), "payment": ids.encode("pay", row.payment_id), "state": row.state,
        "reason": row.reason, "amount": plain(row.amount_fen, 2, at_least=2), "created_at": row.created_at,
        "settled_at": row.settled_at,
    }  # fmt: skip
    return dict(RefundSerializer(body).data)


def payment_id(public_id: str) -> UUID:
    """:raises UnknownPayment: no id of a payment."""
    try:
        return ids.decode("pay", public_id)
    except ids.BadId:
        raise UnknownPayment("There is no such payment.") from None


def fen_of(text: str) -> int:
    """A checked decimal of yuan with at most two places, in fen."""
    return micros_of(text) // 10_000


class TopUpCheckout(ApiView):
    """Pay in by card, Alipay or WeChat Pay."""

    required_scopes = {"POST": "billing:write"}

    @extend_schema(request=AmountInSerializer, responses={201: PaymentSerializer}, operation_id="top_ups_checkout")
    def post(self, request: Request) -> Response:
        """Open Stripe's page; send the buyer to `url`. The wallet moves once Stripe says that it is paid."""
        checked = AmountInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        actor, now, amount_fen = self.actor, clock.now(), fen_of(checked.validated_data["amount"])

        def effect() -> dict:
            return {"id": str(services.payments.attempts.open_top_up(actor=actor, amount_fen=amount_fen, now=now))}

        once = self.once(
            request, operation="top_ups.checkout", payload={"amount_fen": amount_fen}, now=now, effect=effect
        )
        made = UUID(once.body["id"])
        services.payments.attempts.go_on(made, now=now)
        return Response(shape(selectors.payments.payment(made, self.actor)), status=201)


class Payments(ApiView):
    """Attempts to be paid."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(responses=PaymentPageSerializer, operation_id="payments_list")
    def get(self, request: Request) -> Response:
        """The organisation's own, newest first, by cursor."""
        return page(request, selectors.payments.payments(self.actor), prefix="pay", shape=shape)


class PaymentDetail(ApiView):
    """One attempt."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(responses=PaymentSerializer, operation_id="payments_get")
    def get(self, request: Request, public_id: str) -> Response:
        """As it stands."""
        return Response(shape(selectors.payments.payment(payment_id(public_id), self.actor)))


class CheckPayment(ApiView):
    """Ask Stripe now."""

    required_scopes = {"POST": "billing:read"}

    @extend_schema(request=None, responses=PaymentSerializer, operation_id="payments_check")
    def post(self, request: Request, public_id: str) -> Response:
        """Retrieve the payment; what was charged once is never charged again."""
        found = selectors.payments.payment(payment_id(public_id), self.actor)
        services.payments.check(found.id, now=clock.now())
        return Response(shape(selectors.payments.payment(found.id, self.actor)))


class Refunds(ApiView):
    """Money back to where it came from."""

    required_scopes = {"GET": "billing:read", "POST": "billing:write"}

    @extend_schema(responses=RefundSerializer(many=True), operation_id="refunds_list")
    def get(self, request: Request, public_id: str) -> Response:
        """Oldest first."""
        found = selectors.payments.payment(payment_id(public_id), self.actor)
        return Response([refund_shape(row) for row in selectors.payments.refunds_of(found.id)])

    @extend_schema(request=AmountInSerializer, responses={201: RefundSerializer}, operation_id="refunds_create")
    def post(self, request: Request, public_id: str) -> Response:
        """At most the payment less its refunds, and at most what the wallet has free."""
        checked = AmountInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        actor, now, amount_fen = self.actor, clock.now(), fen_of(checked.validated_data["amount"])
        paid = payment_id(public_id)

        def effect() -> dict:
            made = services.payments.refunds.open_refund(actor=actor, payment_id=paid, amount_fen=amount_fen, now=now)
            return {"id": str(made)}

        payload = {"payment": str(paid), "amount_fen": amount_fen}
        once = self.once(request, operation="refunds.create", payload=payload, now=now, effect=effect)
        made = UUID(once.body["id"])
        services.payments.refunds.go_on(made, now=now)
        return Response(refund_shape(selectors.payments.refund(made)), status=201)


class PayInvoice(ApiView):
    """Pay what is due of an invoice."""

    required_scopes = {"POST": "billing:write"}

    @extend_schema(request=PayInvoiceInSerializer, responses={201: PaymentSerializer}, operation_id="invoices_pay")
    def post(self, request: Request, public_id: str) -> Response:
        """On Stripe's page, or with the saved card; 409 where nothing is due or a payment is under way."""
        checked = PayInvoiceInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        try:
            invoice_id = ids.decode("inv", public_id)
        except ids.BadId:
            raise selectors.NoSuchInvoice("There is no such invoice.") from None
        actor, now, saved = self.actor, clock.now(), checked.validated_data["way"] == Payment.Way.SAVED

        def effect() -> dict:
            made = services.payments.attempts.open_invoice(actor=actor, invoice_id=invoice_id, saved=saved, now=now)
            return {"id": str(made)}

        payload = {"invoice": str(invoice_id), "saved": saved}
        once = self.once(request, operation="invoices.pay", payload=payload, now=now, effect=effect)
        made = UUID(once.body["id"])
        services.payments.attempts.go_on(made, now=now)
        return Response(shape(selectors.payments.payment(made, self.actor)), status=201)


class SaveCard(ApiView):
    """Save a card for automatic top-up."""

    required_scopes = {"POST": "billing:write"}

    @extend_schema(request=None, responses={201: PaymentSerializer}, operation_id="cards_save")
    def post(self, request: Request) -> Response:
        """Open Stripe's page that saves a card; no card data comes here."""
        actor, now = self.actor, clock.now()

        def effect() -> dict:
            return {"id": str(services.payments.attempts.open_setup(actor=actor, now=now))}

        once = self.once(request, operation="cards.save", payload={}, now=now, effect=effect)
        made = UUID(once.body["id"])
        services.payments.attempts.go_on(made, now=now)
        return Response(shape(selectors.payments.payment(made, self.actor)), status=201)


class Automatic(ApiView):
    """Automatic top-up."""

    required_scopes = {"GET": "billing:read", "PUT": "billing:write"}

    @extend_schema(responses=AutomaticSerializer, operation_id="automatic_top_up_get")
    def get(self, request: Request) -> Response:
        """As it is set."""
        return Response(_automatic(selectors.payments.payment_profile(self.actor.organisation_id)))

    @extend_schema(request=AutomaticInSerializer, responses=AutomaticSerializer, operation_id="automatic_top_up_set")
    def put(self, request: Request) -> Response:
        """Switch it on or off."""
        checked = AutomaticInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        given = checked.validated_data
        services.payments.automatic.configure(
            actor=self.actor, enabled=given["enabled"], threshold_micros=micros_of(given["threshold"]),
            amount_fen=fen_of(given["amount"]), monthly_cap_fen=fen_of(given["monthly_cap"]), now=clock.now(),
        )  # fmt: skip
        return self.get(request)


def _automatic(profile: PaymentProfile) -> dict[str, Any]:
    body = {
        "enabled": profile.automatic,
        "threshold": plain(profile.threshold_micros, 6, at_least=2),
        "amount": plain(profile.amount_fen, 2, at_least=2),
        "monthly_cap": plain(profile.monthly_cap_fen, 2, at_least=2),
        "paused_reason": profile.paused_reason,
        "card": f"{profile.method_brand} {profile.method_last4}" if profile.method_id else None,
    }
    return dict(AutomaticSerializer(body).data)


@method_decorator(csrf_exempt, name="dispatch")
class StripeWebhook(View):
    """Stripe's events. Authenticated by their signature over the raw body; stored, and worked later."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """200 once it is stored, also the second time; 400 for what Stripe did not sign."""
        if not stripe_api.configured():
            return problem_response(request, 404, "not_found", "There is nothing here.")
        if int(request.headers.get("Content-Length") or 0) > _MOST_WEBHOOK_BYTES:
            return problem_response(request, 413, "body_too_large", "An event has at most 256 KiB.")
        try:
            services.payments.webhooks.receive(
                body=request.body, signature=request.headers.get("Stripe-Signature", ""), now=clock.now()
            )
        except BadWebhook as error:
            return problem_response(request, error.status, error.code, str(error))
        return HttpResponse(status=200)
