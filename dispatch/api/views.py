"""What requests used, by key, line, hour or day."""

from __future__ import annotations

from datetime import UTC, timedelta
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.kernel.decimals import plain_yuan
from accounts.selectors import clock
from dispatch import selectors
from dispatch.selectors import GROUPS, By, Used

EXACT_PER_MICRO = 10**12
MOST_DAYS = 92


class AskedSerializer(StrictSerializer):
    """How to group, and of when."""

    by = serializers.ChoiceField(choices=GROUPS, default="key")
    since = serializers.DateTimeField(required=False, default_timezone=UTC)
    until = serializers.DateTimeField(required=False, default_timezone=UTC)
    key = serializers.CharField(required=False)


class UsedSerializer(serializers.Serializer):
    """Requests of one group; `value` in yuan at the price of the allocations they drew on."""

    group = serializers.CharField(help_text="key id (empty: without a key), line, start of the hour in UTC, or day")
    requests = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="of them, delivered nothing and free")
    input_tokens = serializers.CharField()
    cached_tokens = serializers.CharField()
    output_tokens = serializers.CharField()
    micro_st = serializers.CharField()
    value = serializers.CharField()
    currency = serializers.CharField()


class UsedPageSerializer(serializers.Serializer):
    """All groups, the newest or largest first; `next` is always null."""

    data = UsedSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class Requests(ApiView):
    """Own requests, summed."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(
        parameters=[
            OpenApiParameter("by", str, enum=GROUPS, description="key (default), line, hour or day, of UTC+08:00"),
            OpenApiParameter("since", str, description="RFC 3339; the last 7 days if left out"),
            OpenApiParameter("until", str, description="RFC 3339, not itself; now if left out"),
            OpenApiParameter("key", str, description="only this key's, key_…"),
        ],
        responses=UsedPageSerializer,
        operation_id="usage_requests",
    )
    def get(self, request: Request) -> Response:
        """Finished requests that began in [since, until), at most 92 days and 2,000 groups."""
        asked = AskedSerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        until = given.get("until") or clock.now()
        since = given.get("since") or until - timedelta(days=7)
        if not timedelta(0) < until - since <= timedelta(days=MOST_DAYS):
            raise ValidationError({"since": [f"Must lie before until, at most {MOST_DAYS} days."]})
        by: By = given["by"]
        rows = selectors.used(self.actor, by=by, since=since, until=until, key_id=_key(given.get("key")))
        return Response({"data": [_shape(row, by) for row in rows], "next": None})


def _key(text: str | None) -> UUID | None:
    if text is None:
        return None
    try:
        return ids.decode("key", text)
    except ids.BadId:
        raise ValidationError({"key": ["No key id."]}) from None


def _shape(row: Used, by: By) -> dict[str, object]:
    group = ids.encode("key", UUID(row.group)) if by == "key" and row.group else row.group
    names = ("input_tokens", "cached_tokens", "output_tokens", "micro_st")
    return {
        "group": group,
        "requests": row.requests,
        "failed": row.failed,
        **{name: str(getattr(row, name)) for name in names},
        "value": plain_yuan(row.exact // EXACT_PER_MICRO),
        "currency": "CNY",
    }
