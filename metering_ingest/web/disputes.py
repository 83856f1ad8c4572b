"""Pages of disputes, for both parties and staff."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from metering_ingest.http import evidence_response
from metering_ingest.kernel import dispute_rules as rules
from metering_ingest.selectors import disputes as reads
from metering_ingest.selectors.disputes import NoSuchDispute
from metering_ingest.services import disputes
from metering_ingest.services.disputes import NoSuchAllocation
from metering_ingest.web import figures, forms, labels
from metering_ingest.web.views import minutes_context


class Disputes(ActorPage):
    """All disputes of the organisation; all there are, for the operator."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first, by state."""
        state = request.GET.get("state", "")
        state = state if state in rules.STATES else ""
        found = reads.disputes(self.actor, state=state, limit=200)
        context = {
            "rows": [figures.dispute_row(one) for one in found],
            "state": state,
            "states": [("", _("All")), *((word, label) for word, (label, _tone) in labels.DISPUTE_STATES.items())],
            "metering": "metering:provider" if self.actor.is_provider else "metering:buyer",
        }
        return render(request, "metering_ingest/disputes.html", context)


class DisputePage(ActorPage):
    """One dispute."""

    scope = "usage:read"

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Both meters' counts, deadline, evidence, story, and what may be done."""
        return self.show(request, public_id)

    def show(self, request: HttpRequest, public_id: str, *, status: int = 200, **bound: Any) -> HttpResponse:
        """The page, with a form that was refused where there is one."""
        try:
            found = reads.dispute(_id(public_id), self.actor)
        except NoSuchDispute:
            return not_found_page(request)
        context = {
            "dispute": figures.dispute(found, actor=self.actor),
            "note": forms.NoteForm(),
            "reason": forms.NoteForm(prefix="reason"),
            "decision": forms.DecisionForm(),
            **bound,
        }
        return render(request, "metering_ingest/dispute.html", context, status=status)


class Evidence(ActorPage):
    """What the platform collected."""

    scope = "usage:read"

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """The stored JSON text."""
        try:
            return evidence_response(public_id, *reads.evidence(_id(public_id), self.actor))
        except NoSuchDispute:
            return not_found_page(request)


class Act(DisputePage):
    """Reply, accept, hand to staff, decide."""

    scope = "disputes:write"
    action = ""
    http_method_names = ["post"]

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Do it and go back to the dispute."""
        name, form = self._form(request)
        if form is not None and not form.is_valid():
            return self.show(request, public_id, status=422, **{name: form})
        try:
            getattr(disputes, self.action)(_id(public_id), actor=self.actor, now=clock.now(), **self._words(form))
        except NoSuchDispute:
            return not_found_page(request)
        except DomainError as error:
            if form is None:
                messages.error(request, str(labels.REFUSALS.get(error.code, _("This is not possible."))))
                return redirect("metering:dispute", public_id=public_id)
            form.refuse(error)
            return self.show(request, public_id, status=422, **{name: form})
        messages.success(request, _SAID[self.action]())
        return redirect("metering:dispute", public_id=public_id)

    def _form(self, request: HttpRequest) -> tuple[str, Any]:
        if self.action == "reply":
            return "note", forms.NoteForm(request.POST)
        if self.action == "escalate":
            return "reason", forms.NoteForm(request.POST, prefix="reason")
        if self.action == "decide":
            return "decision", forms.DecisionForm(request.POST)
        return "", None

    def _words(self, form: Any) -> dict[str, Any]:
        if self.action == "decide":
            return form.arguments()
        if form is None:
            return {}
        return {"note" if self.action == "reply" else "reason": form.cleaned_data["note"]}


class Contest(ActorPage):
    """Contest an allocation's count."""

    scope = "disputes:write"

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Open a dispute about all minutes that differ and are not contested yet."""
        form = forms.NoteForm(request.POST)
        if form.is_valid():
            try:
                opened = disputes.open_(
                    ids.decode("alc", public_id), statement=form.cleaned_data["note"], actor=self.actor, now=clock.now()
                )
            except (ids.BadId, NoSuchAllocation):
                return not_found_page(request)
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(request, _("The dispute is open. The other party and staff can see it."))
                return redirect("metering:dispute", public_id=ids.encode("dsp", opened))
        context = minutes_context(self.actor, public_id)
        if context is None:
            return not_found_page(request)
        return render(request, "metering_ingest/minutes.html", {**context, "form": form}, status=422)


_SAID = {
    "reply": lambda: _("Your reply is part of the dispute."),
    "accept": lambda: _("You have accepted the proposal."),
    "escalate": lambda: _("Staff of the operator will decide."),
    "decide": lambda: _("The dispute is resolved."),
}


def _id(public_id: str) -> UUID:
    try:
        return ids.decode("dsp", public_id)
    except ids.BadId:
        raise NoSuchDispute("There is no such dispute.") from None
