"""Disputes over REST: open, read, answer, decide."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.pagination import BadCursor
from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.selectors import clock
from metering_ingest.http import evidence_response
from metering_ingest.kernel import dispute_rules as rules
from metering_ingest.selectors import disputes as reads
from metering_ingest.services import disputes

_PAGE = 50


class EventSerializer(serializers.Serializer):
    """One step of a dispute."""

    kind = serializers.CharField()
    by = serializers.CharField()
    note = serializers.CharField()
    detail = serializers.JSONField()
    at = serializers.DateTimeField()


class DisputeSerializer(serializers.Serializer):
    """A dispute; amounts are micro-ST as text. `side` is the reader's."""

    id = serializers.CharField()
    allocation = serializers.CharField()
    side = serializers.CharField()
    opened_by = serializers.CharField()
    causes = serializers.ListField(child=serializers.CharField())
    minutes = serializers.ListField(child=serializers.DateTimeField())
    freeze_micro_st = serializers.CharField(help_text="set aside of what the buyer pays until it is resolved")
    claim_micro_st = serializers.CharField(help_text="counted by the agent beyond the gateway")
    state = serializers.ChoiceField(choices=rules.STATES)
    deadline_at = serializers.DateTimeField(allow_null=True)
    proposed_credit_micro_st = serializers.CharField(allow_null=True)
    proposed_amendments = serializers.IntegerField()
    proposed_rules = serializers.ListField(child=serializers.CharField())
    accepted_by = serializers.ListField(child=serializers.CharField())
    credited_micro_st = serializers.CharField(allow_null=True)
    amended = serializers.BooleanField()
    opened_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    evidence_sha256 = serializers.CharField()
    events = EventSerializer(many=True)


class DisputePageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = DisputeSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class DisputeInSerializer(StrictSerializer):
    """What to contest, and why."""

    allocation = serializers.CharField(max_length=40)
    minutes = serializers.ListField(child=serializers.DateTimeField(), required=False, max_length=1_440)
    statement = serializers.CharField(max_length=disputes.MOST_NOTE)


class NoteSerializer(StrictSerializer):
    """Words to a dispute."""

    note = serializers.CharField(max_length=disputes.MOST_NOTE)


class DecisionSerializer(StrictSerializer):
    """The operator's decision."""

    credited_micro_st = serializers.RegexField(r"\A[0-9]{1,18}\Z", help_text="what the buyer gets back")
    amend = serializers.BooleanField(
        required=False, default=False, help_text="the agent's counts replace the gateway's"
    )
    reason = serializers.CharField(max_length=disputes.MOST_NOTE)


class Disputes(ApiView):
    """The organisation's disputes."""

    required_scopes = {"GET": "usage:read", "POST": "disputes:write"}

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=list(rules.STATES)),
            OpenApiParameter("allocation", str),
            OpenApiParameter("cursor", str),
        ],
        responses=DisputePageSerializer,
        operation_id="disputes_list",
    )
    def get(self, request: Request) -> Response:
        """Newest first, 50 a page."""
        state = request.query_params.get("state", "")
        if state and state not in rules.STATES:
            raise serializers.ValidationError({"state": [ErrorDetail("There is no such state.", "invalid_choice")]})
        allocation, cursor = (request.query_params.get(name) for name in ("allocation", "cursor"))
        found = reads.disputes(
            self.actor, state=state, allocation_id=_allocation(allocation) if allocation else None,
            before=_cursor(cursor) if cursor else None, limit=_PAGE + 1,
        )  # fmt: skip
        following = ids.encode("dsp", found[_PAGE - 1].id) if len(found) > _PAGE else None
        body = {"data": [shape(one) for one in found[:_PAGE]], "next": following}
        return Response(DisputePageSerializer(body).data)

    @extend_schema(request=DisputeInSerializer, responses={201: DisputeSerializer}, operation_id="disputes_open")
    def post(self, request: Request) -> Response:
        """Contest minutes of an own allocation; without `minutes`, all that differ and no dispute has yet."""
        data, actor, now = _checked(DisputeInSerializer, request), self.actor, clock.now()
        try:
            allocation_id = ids.decode("alc", data["allocation"])
        except ids.BadId:
            raise disputes.NoSuchAllocation("There is no such allocation.") from None

        def effect() -> dict[str, Any]:
            opened = disputes.open_(
                allocation_id, statement=data["statement"], minutes=data.get("minutes", ()), actor=actor, now=now
            )
            return {"id": ids.encode("dsp", opened)}

        once = self.once(request, operation="disputes.open", payload=request.data, now=now, effect=effect)
        return Response(_detail(once.body["id"], actor), status=201)


class DisputeDetail(ApiView):
    """One dispute."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses=DisputeSerializer, operation_id="disputes_get")
    def get(self, request: Request, public_id: str) -> Response:
        """With its story."""
        return Response(_detail(public_id, self.actor))


class Evidence(ApiView):
    """What the platform collected."""

    required_scopes = {"GET": "usage:read"}

    @extend_schema(responses={(200, "application/json"): OpenApiTypes.BINARY}, operation_id="disputes_evidence")
    def get(self, request: Request, public_id: str) -> HttpResponse:
        """The stored JSON text; `X-Content-SHA256` names its hash."""
        return evidence_response(public_id, *reads.evidence(dispute_id(public_id), self.actor))


class Reply(ApiView):
    """Words to a dispute."""

    required_scopes = {"POST": "disputes:write"}

    @extend_schema(request=NoteSerializer, responses=DisputeSerializer, operation_id="disputes_reply")
    def post(self, request: Request, public_id: str) -> Response:
        """Say something; once both parties have, a proposal follows at once."""
        note = _checked(NoteSerializer, request)["note"]

        def effect() -> dict[str, Any]:
            disputes.reply(dispute_id(public_id), note=note, actor=self.actor, now=clock.now())
            return {}

        self.once(
            request, operation=f"disputes.reply {public_id}", payload=request.data, now=clock.now(), effect=effect
        )
        return Response(_detail(public_id, self.actor))


class Accept(ApiView):
    """Agreement to a proposal."""

    required_scopes = {"POST": "disputes:write"}

    @extend_schema(request=None, responses=DisputeSerializer, operation_id="disputes_accept")
    def post(self, request: Request, public_id: str) -> Response:
        """Accept what is proposed; again changes nothing."""
        disputes.accept(dispute_id(public_id), actor=self.actor, now=clock.now())
        return Response(_detail(public_id, self.actor))


class Escalate(ApiView):
    """A dispute handed to staff."""

    required_scopes = {"POST": "disputes:write"}

    @extend_schema(request=NoteSerializer, responses=DisputeSerializer, operation_id="disputes_escalate")
    def post(self, request: Request, public_id: str) -> Response:
        """Let staff decide; again changes nothing."""
        note = _checked(NoteSerializer, request)["note"]
        disputes.escalate(dispute_id(public_id), reason=note, actor=self.actor, now=clock.now())
        return Response(_detail(public_id, self.actor))


class Decide(ApiView):
    """The operator's decision."""

    required_scopes = {"POST": "disputes:write"}

    @extend_schema(request=DecisionSerializer, responses=DisputeSerializer, operation_id="disputes_decide")
    def post(self, request: Request, public_id: str) -> Response:
        """Say what the buyer gets back and whether the agent's counts replace the gateway's (the operator only)."""
        data = _checked(DecisionSerializer, request)
        disputes.decide(
            dispute_id(public_id),
            credited_micro_st=int(data["credited_micro_st"]),
            amend=data["amend"],
            reason=data["reason"],
            actor=self.actor,
            now=clock.now(),
        )
        return Response(_detail(public_id, self.actor))


def shape(view: reads.DisputeDetail) -> dict[str, Any]:
    """A dispute as JSON."""
    return {
        "id": ids.encode("dsp", view.id),
        "allocation": ids.encode("alc", view.allocation_id),
        "side": view.side,
        "opened_by": view.opened_by,
        "causes": list(view.causes),
        "minutes": list(view.minutes),
        "freeze_micro_st": str(view.freeze_micro_st),
        "claim_micro_st": str(view.claim_micro_st),
        "state": view.state,
        "deadline_at": view.deadline_at,
        "proposed_credit_micro_st": _text(view.proposed_credit_micro_st),
        "proposed_amendments": view.proposed_amendments,
        "proposed_rules": list(view.proposed_rules),
        "accepted_by": list(view.accepted_by),
        "credited_micro_st": _text(view.credited_micro_st),
        "amended": view.amended,
        "opened_at": view.opened_at,
        "resolved_at": view.resolved_at,
        "evidence_sha256": view.evidence_sha256,
        "events": [
            {"kind": one.kind, "by": one.by, "note": one.note, "detail": one.detail, "at": one.at}
            for one in view.events
        ],
    }


def dispute_id(public_id: str) -> UUID:
    """A dispute's id.

    :raises NoSuchDispute: no dispute has such an id.
    """
    try:
        return ids.decode("dsp", public_id)
    except ids.BadId:
        raise reads.NoSuchDispute("There is no such dispute.") from None


def _text(micro_st: int | None) -> str | None:
    return None if micro_st is None else str(micro_st)


def _detail(public_id: str, actor: Actor) -> dict[str, Any]:
    return DisputeSerializer(shape(reads.dispute(dispute_id(public_id), actor))).data


def _checked(serializer: Any, request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _allocation(text: str) -> UUID:
    try:
        return ids.decode("alc", text)
    except ids.BadId:
        raise serializers.ValidationError({"allocation": [ErrorDetail("No allocation's id.", "invalid")]}) from None


def _cursor(text: str) -> UUID:
    try:
        return ids.decode("dsp", text)
    except ids.BadId:
        raise BadCursor("The cursor is not one that this list gave.") from None
