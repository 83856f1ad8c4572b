"""Comparisons over REST."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.pagination import BadCursor
from accounts.http.views import ApiView
from accounts.kernel import ids
from metering_ingest.kernel import comparing
from metering_ingest.kernel.comparing import Sums
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.selectors.reconciliation import ComparisonView

_PAGE = 200


class SumsSerializer(serializers.Serializer):
    """What one meter counted; completion tokens are billable ones."""

    records = serializers.IntegerField()
    prompt_tokens = serializers.CharField()
    cached_tokens = serializers.CharField()
    completion_tokens = serializers.CharField()
    micro_st = serializers.CharField()


class ComparisonSerializer(serializers.Serializer):
    """One minute of an allocation as its three meters counted it."""

    allocation = serializers.CharField()
    minute = serializers.DateTimeField()
    gateway = SumsSerializer()
    agent = SumsSerializer()
    buyer = SumsSerializer()
    state = serializers.ChoiceField(choices=comparing.STATES)
    causes = serializers.ListField(child=serializers.ChoiceField(choices=comparing.CAUSES))
    over_micro_st = serializers.CharField(help_text="counted by the gateway beyond another witness")
    under_micro_st = serializers.CharField(help_text="counted by the agent beyond the gateway")
    due_at = serializers.DateTimeField(help_text="until when a difference waits for late records")
    compared_at = serializers.DateTimeField()
    dispute = serializers.CharField(allow_null=True)


class ComparisonPageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = ComparisonSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class Reconciliation(ApiView):
    """What comparing the meters found."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(
        parameters=[
            OpenApiParameter("allocation", str),
            OpenApiParameter("state", str, enum=list(comparing.STATES)),
            OpenApiParameter("cursor", str),
        ],
        responses=ComparisonPageSerializer,
        operation_id="reconciliation",
    )
    def get(self, request: Request) -> Response:
        """Minutes of the organisation's own allocations, newest first, 200 a page."""
        state = request.query_params.get("state", "")
        if state and state not in comparing.STATES:
            raise serializers.ValidationError({"state": [ErrorDetail("There is no such state.", "invalid_choice")]})
        found = reads.comparisons(
            self.actor,
            allocation_id=_allocation(request.query_params.get("allocation")),
            states=[state] if state else (),
            before=_before(request.query_params.get("cursor")),
            limit=_PAGE + 1,
        )
        page = found[:_PAGE]
        following = _cursor(page[-1]) if len(found) > _PAGE else None
        body = {"data": [shape(one) for one in page], "next": following}
        return Response(ComparisonPageSerializer(body).data)


def shape(view: ComparisonView) -> dict[str, Any]:
    """A minute as JSON."""
    return {
        "allocation": ids.encode("alc", view.allocation_id),
        "minute": view.minute,
        "gateway": sums(view.gateway),
        "agent": sums(view.agent),
        "buyer": sums(view.buyer),
        "state": view.state,
        "causes": list(view.causes),
        "over_micro_st": str(view.over_micro_st),
        "under_micro_st": str(view.under_micro_st),
        "due_at": view.due_at,
        "compared_at": view.compared_at,
        "dispute": ids.encode("dsp", view.dispute_id) if view.dispute_id else None,
    }


def sums(counted: Sums) -> dict[str, Any]:
    """One meter's counts as JSON."""
    return {
        "records": counted.records,
        "prompt_tokens": str(counted.prompt),
        "cached_tokens": str(counted.cached),
        "completion_tokens": str(counted.completion),
        "micro_st": str(counted.micro_st),
    }


def _allocation(text: str | None) -> UUID | None:
    if not text:
        return None
    try:
        return ids.decode("alc", text)
    except ids.BadId:
        raise serializers.ValidationError({"allocation": [ErrorDetail("No allocation's id.", "invalid")]}) from None


def _cursor(last: ComparisonView) -> str:
    return f"{int(last.minute.timestamp())}.{ids.encode('alc', last.allocation_id)}"


def _before(text: str | None) -> tuple[datetime, UUID] | None:
    if not text:
        return None
    seconds, _, allocation = text.partition(".")
    try:
        if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 12):
            raise ValueError
        return datetime.fromtimestamp(int(seconds), UTC), ids.decode("alc", allocation)
    except ValueError:
        raise BadCursor("The cursor is not one that this list gave.") from None
