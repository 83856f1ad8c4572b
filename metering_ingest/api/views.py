"""Metering over REST: receipts, and what waits for somebody."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.pagination import BadCursor
from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.selectors import clock
from metering_ingest import selectors, services
from metering_ingest.models import Conflict, Quarantined
from metering_ingest.selectors.cases import NoSuchRecord
from providers import selectors as providers

_LIMIT = 100


class ReceiptSerializer(serializers.Serializer):
    """A record as it is stored. `standing` is counted, voided, void, quarantined or rejected."""

    record = serializers.CharField()
    content = serializers.CharField()
    standing = serializers.CharField()
    source = serializers.CharField()
    id = serializers.CharField()
    meter = serializers.CharField(allow_null=True)
    evidence = serializers.CharField(allow_null=True)
    micro_st = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_null=True)
    received_at = serializers.DateTimeField()


class ConflictSerializer(serializers.Serializer):
    """A record that contradicts one that was there first, with what it said."""

    number = serializers.IntegerField()
    kind = serializers.CharField()
    record = serializers.CharField()
    content = serializers.CharField()
    other_record = serializers.CharField(allow_null=True)
    agent = serializers.CharField(allow_null=True)
    event = serializers.JSONField()
    received_at = serializers.DateTimeField()


class QuarantinedSerializer(serializers.Serializer):
    """A record that was stored and does not count."""

    record = serializers.CharField()
    reason = serializers.CharField()
    evidence = serializers.CharField()
    agent = serializers.CharField(allow_null=True)
    event = serializers.JSONField()
    received_at = serializers.DateTimeField()


class GapSerializer(serializers.Serializer):
    """One epoch of an agent and the sequences of it that never came; each pair is the first and the last of a gap."""

    agent = serializers.CharField()
    epoch = serializers.CharField()
    received = serializers.IntegerField()
    highest = serializers.IntegerField()
    checkpoint_seq = serializers.IntegerField()
    closed = serializers.BooleanField()
    missing = serializers.IntegerField()
    gaps = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()))
    last_at = serializers.DateTimeField()


class ConflictPageSerializer(serializers.Serializer):
    """Newest first."""

    data = ConflictSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class QuarantinePageSerializer(serializers.Serializer):
    """Newest first."""

    data = QuarantinedSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class GapListSerializer(serializers.Serializer):
    """The epochs with something missing, the latest first."""

    data = GapSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class ResolveSerializer(StrictSerializer):
    """Why."""

    reason = serializers.CharField(max_length=200)


class Receipt(ApiView):
    """One record, for its sender."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses=ReceiptSerializer, operation_id="usage_records_get")
    def get(self, request: Request, key: str) -> Response:
        """By the `record` that ingest answered with."""
        found = selectors.receipt(_key(key), self.actor)
        return Response(ReceiptSerializer(found).data)


class Conflicts(ApiView):
    """Records that contradict earlier ones."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses=ConflictPageSerializer, operation_id="metering_conflicts")
    def get(self, request: Request) -> Response:
        """Newest first, by cursor."""
        found, following = selectors.conflict_page(self.actor, before=_number(request), limit=_LIMIT)
        return Response({"data": [_conflict(row) for row in found], "next": str(following) if following else None})


class Quarantine(ApiView):
    """Records that wait."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses=QuarantinePageSerializer, operation_id="metering_quarantine")
    def get(self, request: Request) -> Response:
        """Newest first, by cursor; what was released or rejected is left out."""
        cursor = request.query_params.get("cursor")
        try:
            found, following = selectors.quarantine_page(self.actor, cursor=cursor, limit=_LIMIT)
        except ValueError:
            raise BadCursor("The cursor is not one that this list gave.") from None
        return Response({"data": [_quarantined(row) for row in found], "next": following})


class Resolve(ApiView):
    """Release or reject a quarantined record."""

    required_scopes = {"POST": "usage:write"}
    action = ""

    @extend_schema(request=ResolveSerializer, responses=ReceiptSerializer)
    def post(self, request: Request, key: str) -> Response:
        """Judge it again, 422 `still_refused` where it still does not count; or end it, with a reason."""
        given = ResolveSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        change = getattr(services, self.action)
        change(_key(key), reason=given.validated_data["reason"], actor=self.actor, now=clock.now())
        return Response(ReceiptSerializer(selectors.receipt(_key(key), self.actor)).data)


class Gaps(ApiView):
    """What never came."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses=GapListSerializer, operation_id="metering_gaps")
    def get(self, request: Request) -> Response:
        """Of all the organisation's agents, trailing gaps included; the first 1,000 of an epoch."""
        agents = [one.id for one in providers.agents_of(self.actor)]
        found = [one for one in selectors.epochs_of(agents) if one.missing]
        return Response({"data": [_gap(one) for one in found], "next": None})


def _conflict(row: Conflict) -> dict[str, Any]:
    return {
        "number": row.id,
        "kind": row.kind,
        "record": row.key.hex,
        "content": row.content.hex,
        "other_record": row.other_key.hex if row.other_key else None,
        "agent": ids.encode("agt", row.agent_id) if row.agent_id else None,
        "event": row.event,
        "received_at": row.received_at,
    }


def _quarantined(row: Quarantined) -> dict[str, Any]:
    return {
        "record": row.key.hex,
        "reason": row.reason,
        "evidence": row.evidence,
        "agent": ids.encode("agt", row.agent_id) if row.agent_id else None,
        "event": row.event,
        "received_at": row.received_at,
    }


def _gap(one: selectors.EpochView) -> dict[str, Any]:
    return {
        "agent": ids.encode("agt", one.agent_id),
        "epoch": one.epoch,
        "received": one.received,
        "highest": one.highest,
        "checkpoint_seq": one.checkpoint_seq,
        "closed": one.closed,
        "missing": one.missing,
        "gaps": [list(gap) for gap in one.gaps],
        "last_at": one.last_at,
    }


def _number(request: Request) -> int | None:
    text = request.query_params.get("cursor")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadCursor("The cursor is not one that this list gave.")
    return int(text)


def _key(text: str) -> UUID:
    if len(text) != 32 or not set(text) <= set("0123456789abcdef"):
        raise NoSuchRecord("There is no such record.")
    return UUID(hex=text)
