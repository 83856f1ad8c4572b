"""Pages of credit notes: the buyer's note, and where staff propose and confirm."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from billing.documents.credit_note import from_dict
from billing.http import YUAN, fen_of, file_response
from billing.models import CreditProposal, Invoice
from billing.selectors import credit_notes as rows
from billing.services import credit_notes


class NotePage(ActorPage):
    """One credit note; the same figures as its files."""

    scope = "billing:read"

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Lines, tax, where the money went, what is left of the invoice."""
        try:
            note = rows.note_row(ids.decode("crn", public_id), actor=self.actor)
        except (ids.BadId, rows.NoSuchNote):
            return not_found_page(request)
        context = {
            "note": note,
            "public_id": public_id,
            "figures": from_dict(note.figures),
            "invoice_id": ids.encode("inv", note.invoice_id),
            "is_own": note.organisation_id == self.actor.organisation_id,
        }
        return render(request, "billing/credit_note.html", context)


class NoteFile(ActorPage):
    """A file of a credit note."""

    scope = "billing:read"

    def get(self, request: HttpRequest, public_id: str, kind: str) -> HttpResponse:
        """PDF in the language asked for (or the page's), CSV, XLSX or JSON."""
        language = request.GET.get("lang") or ("zh" if (get_language() or "").startswith("zh") else "en")
        try:
            note_id = ids.decode("crn", public_id)
            document = credit_notes.note_file(note_id, kind=kind, language=language, actor=self.actor, now=clock.now())
        except (ids.BadId, rows.NoSuchNote):
            return not_found_page(request)
        return file_response(document)


class ProposalForm(forms.Form):
    """What to give back of which invoice."""

    invoice = forms.CharField(
        label=gettext_lazy("Invoice number"), max_length=20, widget=forms.TextInput(attrs={"class": "input"})
    )
    line = forms.IntegerField(
        label=gettext_lazy("Line"), required=False, min_value=1, help_text=gettext_lazy("Empty: all that is left of the invoice."),
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "numeric"}),
    )  # fmt: skip
    amount = forms.RegexField(
        YUAN, label=gettext_lazy("Amount"), required=False, max_length=13,
        error_messages={"invalid": gettext_lazy("An amount in yuan with at most two decimals, such as 5000.00.")},
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "decimal", "autocomplete": "off"}),
    )  # fmt: skip
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=300, help_text=gettext_lazy("It is printed on the note."),
        widget=forms.TextInput(attrs={"class": "input"}),
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """A line and its amount stand together; the invoice exists."""
        data = super().clean() or {}
        if bool(data.get("line")) != bool(data.get("amount")) and not self.errors:
            self.add_error("amount", _("Give a line and its amount, or neither."))
        series, _dash, number = data.get("invoice", "").strip().partition("-")
        found = Invoice.objects.filter(series=series, number=int(number)).first() if number.isdecimal() else None
        if found is None and "invoice" not in self.errors:
            self.add_error("invoice", _("There is no invoice of this number."))
        data["found"] = found
        return data

    def draft(self) -> dict[str, Any]:
        """Arguments of `services.credit_notes.propose`."""
        data = self.cleaned_data
        amounts = {data["line"]: fen_of(data["amount"])} if data["line"] else None
        return {"invoice_id": data["found"].id, "amounts_fen": amounts, "reason": data["reason"]}


class StaffNotes(ActorPage):
    """Proposals, and the form for a new one."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first."""
        return self._show(request, ProposalForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Propose; another person confirms."""
        if not credit_notes.may_credit(self.actor):
            return self._refused(request)
        form = ProposalForm(request.POST)
        if form.is_valid():
            try:
                credit_notes.propose(**form.draft(), actor=self.actor, now=clock.now())
            except DomainError as error:
                form.add_error(None, refusal(error))
            else:
                messages.success(request, _("The proposal waits for a second person."))
                return redirect("billing:staff_credit_notes")
        return self._show(request, form, status=422)

    def _show(self, request: HttpRequest, form: ProposalForm, *, status: int = 200) -> HttpResponse:
        if not credit_notes.may_credit(self.actor):
            return self._refused(request)
        context = {"form": form, "rows": [self._row(one) for one in rows.proposals()[:100]]}
        return render(request, "billing/staff_credit_notes.html", context, status=status)

    def _row(self, one: CreditProposal) -> dict[str, Any]:
        note = getattr(one, "note", None)
        return {
            "proposal": one,
            "public_id": ids.encode("crp", one.id),
            "total_fen": sum(one.amounts.values()),
            "number": one.invoice.figures["number"],
            "note": note and {"id": ids.encode("crn", note.id), "number": note.figures["number"]},
            "is_open": one.state == CreditProposal.State.PROPOSED,
            "is_mine": one.proposed_by == self.actor.user_id,
        }

    def _refused(self, request: HttpRequest) -> HttpResponse:
        return self.forbidden(request, _("Only staff of the operator may give money back."))


class Decide(ActorPage):
    """Confirm or reject a proposal."""

    def post(self, request: HttpRequest, public_id: str, decision: str) -> HttpResponse:
        """Back to the list with what happened."""
        decide = {"confirm": credit_notes.confirm, "reject": credit_notes.reject}.get(decision)
        if decide is None:
            return not_found_page(request)
        try:
            decide(ids.decode("crp", public_id), actor=self.actor, now=clock.now())
        except (ids.BadId, rows.NoSuchProposal):
            return not_found_page(request)
        except credit_notes.NotStaffMember:
            return self.forbidden(request, _("Only staff of the operator may give money back."))
        except DomainError as error:
            messages.error(request, refusal(error))
        else:
            done = _("The credit note is issued, and the money is back.") if decision == "confirm" else _("Rejected.")
            messages.success(request, done)
        return redirect("billing:staff_credit_notes")


def refusal(error: DomainError) -> str:
    """In the reader's words what the services refused."""
    known = {
        "credit_exceeds_invoice": _("That is more than is left of the line to give back."),
        "bad_credit": _("Name a line that the invoice has, an amount above zero, and a reason."),
        "second_person_needed": _("Another member of staff has to confirm what you proposed."),
        "already_decided": _("This proposal was decided before."),
    }
    return known.get(error.code, _("This value is not possible."))
