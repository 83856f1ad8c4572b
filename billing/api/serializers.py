"""Shapes of billing's resources in the API: decimals and large integers as strings, instants in UTC."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.http.serializers import StrictSerializer
from accounts.kernel import ids
from accounts.kernel.decimals import plain, plain_yuan
from billing.http import YUAN
from billing.models import Invoice, TopUp
from billing.selectors import OrderUsage
from ledger.selectors import Movement


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


class MovementSerializer(serializers.Serializer):
    """One entry of the wallet; `change` is below zero where the balance shrinks."""

    id = serializers.CharField()
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    key = serializers.CharField(help_text="the ledger transfer's key, unique for ever")
    change = serializers.CharField(help_text="yuan, six decimals")


class MovementPageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = MovementSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class TopUpInSerializer(StrictSerializer):
    """A bank transfer to record."""

    organisation = serializers.CharField(max_length=40)
    amount = serializers.RegexField(YUAN, help_text="yuan with at most two decimals")
    reference = serializers.CharField(max_length=80, help_text="the bank's own reference; the same is credited once")


class TopUpSerializer(serializers.Serializer):
    """Money that reached a wallet from the bank."""

    id = serializers.CharField()
    organisation = serializers.CharField()
    amount = serializers.CharField()
    currency = serializers.CharField()
    reference = serializers.CharField()
    recorded_at = serializers.DateTimeField()


class TopUpPageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = TopUpSerializer(many=True)
    next = serializers.CharField(allow_null=True)


def movement(row: Movement) -> dict[str, Any]:
    """A movement as JSON."""
    return {
        "id": str(row.entry_id), "at": row.at, "kind": row.kind, "key": row.key, "change": plain_yuan(row.change_micros),
    }  # fmt: skip


def top_up(row: TopUp) -> dict[str, Any]:
    """A top-up as JSON."""
    body = {
        "id": ids.encode("top", row.id), "organisation": ids.encode("org", row.organisation_id),
        "amount": plain(row.amount_micros, 6, at_least=2), "currency": row.currency, "reference": row.reference,
        "recorded_at": row.recorded_at,
    }  # fmt: skip
    return TopUpSerializer(body).data


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
