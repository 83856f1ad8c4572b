"""Credit notes over REST: the buyer reads and downloads them, two members of staff make them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.pagination import page
from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.selectors import clock
from billing.documents.credit_note import from_dict
from billing.http import XLSX, YUAN, fen_of, file_response, invoice_ids
from billing.models import CreditNote, CreditProposal
from billing.selectors import credit_notes as rows
from billing.services import credit_notes


class CreditNoteSummarySerializer(serializers.Serializer):
    """One note of a list."""

    id = serializers.CharField()
    number = serializers.CharField()
    invoice = serializers.CharField()
    currency = serializers.CharField()
    issued_at = serializers.DateTimeField()
    net = serializers.CharField()
    tax = serializers.CharField()
    total = serializers.CharField()


class CreditNoteSerializer(CreditNoteSummarySerializer):
    """One note with its frozen figures."""

    figures = serializers.JSONField()
    verification = serializers.CharField(help_text="SHA-256 of the figures as canonical JSON")


class _LineSerializer(StrictSerializer):
    line = serializers.IntegerField(min_value=1)
    amount = serializers.RegexField(YUAN, help_text="yuan with at most two decimals, tax included")


class CreditProposalInSerializer(StrictSerializer):
    """What to give back of an invoice; without `lines` all that is left of it."""

    invoice = serializers.CharField(max_length=40)
    reason = serializers.CharField(max_length=300)
    lines = serializers.ListField(child=_LineSerializer(), required=False, min_length=1, max_length=10_000)


class CreditProposalSerializer(serializers.Serializer):
    """A proposal with its state; `note` once it is confirmed."""

    id = serializers.CharField()
    invoice = serializers.CharField()
    reason = serializers.CharField()
    state = serializers.ChoiceField(choices=CreditProposal.State.choices)
    amounts = serializers.DictField(child=serializers.CharField(), help_text="yuan by the number of the line")
    proposed_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField(allow_null=True)


class CreditNotes(ApiView):
    """Credit notes of the organisation."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(responses=CreditNoteSummarySerializer(many=True), operation_id="credit_notes_list")
    def get(self, request: Request) -> Response:
        """Newest first, by cursor."""
        return page(request, rows.notes(self.actor), prefix="crn", shape=_summary)


class CreditNoteDetail(ApiView):
    """One credit note."""

    required_scopes = {"GET": "billing:read"}

    @extend_schema(responses=CreditNoteSerializer, operation_id="credit_notes_get")
    def get(self, request: Request, public_id: str) -> Response:
        """The frozen figures."""
        note = rows.note_row(_id("crn", public_id, rows.NoSuchNote), actor=self.actor)
        body = {**_summary(note), "figures": note.figures, "verification": from_dict(note.figures).digest}
        return Response(body)


class CreditNoteFile(ApiView):
    """A file of a credit note."""

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
        note_id = _id("crn", public_id, rows.NoSuchNote)
        return file_response(
            credit_notes.note_file(note_id, kind=self.kind, language=language, actor=self.actor, now=clock.now())
        )


class CreditProposals(ApiView):
    """What staff propose to give back."""

    required_scopes = {"GET": "billing:read", "POST": "billing:write"}

    @extend_schema(responses=CreditProposalSerializer(many=True), operation_id="credit_proposals_list")
    def get(self, request: Request) -> Response:
        """All of them, newest first, by cursor; staff only."""
        if not credit_notes.may_credit(self.actor):
            raise credit_notes.NotStaffMember("Only signed-in staff of the operator see proposals.")
        return page(request, rows.proposals(), prefix="crp", shape=_proposal)

    @extend_schema(
        request=CreditProposalInSerializer,
        responses={201: CreditProposalSerializer},
        operation_id="credit_proposals_make",
    )
    def post(self, request: Request) -> Response:
        """Propose; another member of staff confirms. 422 `credit_exceeds_invoice` beyond what is left of a line."""
        checked = CreditProposalInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        (invoice_id,) = invoice_ids([checked.validated_data["invoice"]])
        lines = checked.validated_data.get("lines")
        amounts: dict[int, int] | None = None
        if lines is not None:
            amounts = {one["line"]: fen_of(one["amount"]) for one in lines}
            if len(amounts) < len(lines):
                raise credit_notes.BadCredit("Name each line once.")
        now = clock.now()

        def effect() -> dict[str, Any]:
            made = credit_notes.propose(
                invoice_id, amounts_fen=amounts, reason=checked.validated_data["reason"], actor=self.actor, now=now
            )
            return {"id": ids.encode("crp", made)}

        payload = {"invoice": str(invoice_id), "reason": checked.validated_data["reason"], "lines": amounts}
        once = self.once(request, operation="credit_proposals.make", payload=payload, now=now, effect=effect)
        found = rows.proposals().get(id=ids.decode("crp", once.body["id"]))
        return Response(_proposal(found), status=201)


class DecideProposal(ApiView):
    """A second person's decision."""

    required_scopes = {"POST": "billing:write"}
    confirms = True

    @extend_schema(request=None, responses=CreditProposalSerializer)
    def post(self, request: Request, public_id: str) -> Response:
        """Confirm (issue the note, give the money back) or reject. Who proposed may not confirm: 403."""
        proposal_id = _id("crp", public_id, rows.NoSuchProposal)
        decide = credit_notes.confirm if self.confirms else credit_notes.reject
        decide(proposal_id, actor=self.actor, now=clock.now())
        return Response(_proposal(rows.proposals().get(id=proposal_id)))


def _summary(note: CreditNote) -> dict[str, Any]:
    body = {
        "id": ids.encode("crn", note.id), "invoice": ids.encode("inv", note.invoice_id), "currency": note.currency,
        "issued_at": note.issued_at, **{name: note.figures[name] for name in ("number", "net", "tax", "total")},
    }  # fmt: skip
    return CreditNoteSummarySerializer(body).data


def _proposal(one: CreditProposal) -> dict[str, Any]:
    note = getattr(one, "note", None)
    body = {
        "id": ids.encode("crp", one.id), "invoice": ids.encode("inv", one.invoice_id), "reason": one.reason,
        "state": one.state, "proposed_at": one.proposed_at, "decided_at": one.decided_at,
        "amounts": {number: f"{fen // 100}.{fen % 100:02d}" for number, fen in one.amounts.items()},
        "note": note and ids.encode("crn", note.id),
    }  # fmt: skip
    return CreditProposalSerializer(body).data


def _id(prefix: str, public_id: str, missing: type[Exception]) -> UUID:
    try:
        return ids.decode(prefix, public_id)
    except ids.BadId:
        raise missing("There is no such credit note.") from None
