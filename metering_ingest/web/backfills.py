"""Pages of backfills, for staff only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from metering_ingest.http import results_response
from metering_ingest.selectors import backfills as reads
from metering_ingest.selectors.backfills import NoSuchBackfill
from metering_ingest.services import backfills
from metering_ingest.web import forms, labels

_TONES = {"queued": "idle", "running": "live", "done": "good"}


class StaffPage(ActorPage):
    """A page for the operator's staff."""

    scope = "usage:read"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Staff only; who is not signed in is asked to."""
        actor = getattr(request, "actor", None)
        if actor is not None and not actor.is_staff:
            return self.forbidden(request, _("Only staff of the operator send records beyond the window of 35 days."))
        return super().dispatch(request, *args, **kwargs)


class Backfills(StaffPage):
    """All jobs, and the form for another."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first."""
        return self.show(request, forms.BackfillForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Keep the file for the worker."""
        form = forms.BackfillForm(request.POST, request.FILES)
        if form.is_valid():
            try:
                made = backfills.start(**form.arguments(), actor=self.actor, now=clock.now())
            except DomainError as error:
                form.refuse(error)
            else:
                return redirect("metering:backfill", public_id=ids.encode("bfl", made.id))
        return self.show(request, form, status=422)

    def show(self, request: HttpRequest, form: forms.BackfillForm, *, status: int = 200) -> HttpResponse:
        """The page, with a form that was refused where there is one."""
        rows = [_job(one) for one in reads.backfills(self.actor)]
        return render(request, "metering_ingest/backfills.html", {"rows": rows, "form": form}, status=status)


class BackfillPage(StaffPage):
    """One job."""

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Its progress, which moves by itself until it is done, and its results."""
        try:
            job = _job(reads.backfill(_id(public_id), self.actor))
        except NoSuchBackfill:
            return not_found_page(request)
        part = request.headers.get("HX-Request") == "true"
        template = "metering_ingest/backfill_progress.html" if part else "metering_ingest/backfill.html"
        return render(request, template, {"job": job})


class Results(StaffPage):
    """What became of each record."""

    def get(self, request: HttpRequest, public_id: str) -> HttpResponseBase:
        """As a file, one JSON object a line."""
        try:
            return results_response(public_id, reads.results(_id(public_id), self.actor))
        except NoSuchBackfill:
            return not_found_page(request)


def _job(view: reads.BackfillView) -> dict[str, Any]:
    return {
        "view": view,
        "public_id": ids.encode("bfl", view.id),
        "state": (labels.BACKFILL_STATES[view.state], _TONES[view.state]),
        "counts": [(label, view.counts.get(result, 0)) for result, label in labels.RESULTS.items()],
    }


def _id(public_id: str) -> UUID:
    try:
        return ids.decode("bfl", public_id)
    except ids.BadId:
        raise NoSuchBackfill("There is no such backfill.") from None
