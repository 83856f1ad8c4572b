"""Shapes of billing's resources in the API: decimals and large integers as strings, instants in UTC."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.kernel import ids
from accounts.kernel.decimals import plain_yuan
from billing.models import Invoice
from billing.selectors import OrderUsage


class InvoiceSummarySerializer(serializers.Serializer):
    """One invoice of a list."""

    id = serializers.CharField()
    number = serializers.CharField()
    state = serializers.ChoiceField(choices=Invoice.State.choices)
    currency = serializers.CharField()
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()
    issued_at = serializers.DateTimeField()
    due_date = serializers.DateField(allow_null=True)
    net = serializers.CharField()
    tax = serializers.CharField()
    total = serializers.CharField()


class InvoiceSerializer(InvoiceSummarySerializer):
    """One invoice with the frozen figures that its files are made from."""

    figures = serializers.JSONField()
    verification = serializers.CharField(help_text="SHA-256 of the figures as canonical JSON")


class BalanceSerializer(serializers.Serializer):
    """The wallet: posted minus held is available. Yuan with six decimals."""

    currency = serializers.CharField()
    posted = serializers.CharField()
    held = serializers.CharField()
    available = serializers.CharField()


class UsageRowSerializer(serializers.Serializer):
    """One product's use: what was bought, metered and billed."""

    product = serializers.CharField()
    line = serializers.CharField()
    grade = serializers.CharField()
    window_start = serializers.DateTimeField()
    window_end = serializers.DateTimeField()
    bought_st = serializers.CharField()
    metered_micro_st = serializers.CharField()
    billed_micro_st = serializers.CharField()
    billed = serializers.CharField(help_text="yuan, six decimals, rounded down")
    requests = serializers.CharField()
    input_tokens = serializers.CharField()
    cached_tokens = serializers.CharField()
    output_tokens = serializers.CharField()


class UsagePageSerializer(serializers.Serializer):
    """All rows of the last 30 days; there is no further page."""

    data = UsageRowSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class InvoiceNumberSerializer(serializers.Serializer):
    """Which invoice."""

    id = serializers.CharField()
    number = serializers.CharField()


class OrderUsageSerializer(serializers.Serializer):
    """What became of an order after it was matched."""

    order = serializers.CharField()
    bought_st = serializers.CharField(help_text="standard tokens in its allocations; of an offer: sold")
    drawn_micro_st = serializers.CharField(help_text="what requests have drawn so far")
    requests = serializers.CharField()
    metered_micro_st = serializers.CharField()
    billed_micro_st = serializers.CharField()
    billed = serializers.CharField(help_text="yuan, six decimals, rounded down")
    invoices = InvoiceNumberSerializer(many=True)


def order_usage(public_id: str, usage: OrderUsage) -> dict[str, Any]:
    """The shape of `OrderUsageSerializer`."""
    counts = ("bought_st", "drawn_micro_st", "requests", "metered_micro_st", "billed_micro_st")
    return {
        "order": public_id,
        **{name: str(getattr(usage, name)) for name in counts},
        "billed": plain_yuan(usage.billed_micros),
        "invoices": [{"id": ids.encode("inv", one.id), "number": one.figures["number"]} for one in usage.invoices],
    }


def summary(invoice: Invoice) -> dict[str, Any]:
    """The members that list and detail share."""
    return {
        "id": ids.encode("inv", invoice.id),
        "number": invoice.figures["number"],
        "state": invoice.state,
        "currency": invoice.currency,
        "period_start": invoice.period_start,
        "period_end": invoice.period_end,
        "issued_at": invoice.issued_at,
        "due_date": invoice.due_date,
        "net": invoice.figures["net"],
        "tax": invoice.figures["tax"],
        "total": invoice.figures["total"],
    }
