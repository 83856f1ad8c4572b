"""What the meters counted, for provider and buyer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.services import receipts
from metering_ingest.web import figures, forms

_EVER = datetime(2000, 1, 1, tzinfo=UTC)


class ProviderMetering(ActorPage):
    """A provider's counts beside the platform's and the buyers'."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The last 30 days, the drift of the provider's meter, and the upload."""
        now = clock.now()
        context = {
            "rows": figures.allocations(self.actor, now=now, as_seller=True),
            "work": figures.work(self.actor, now=now),
            "drift": figures.drift(self.actor, now=now),
            "drift_headers": [
                _("Day"), _("Gateway, tokens"), _("Agent, tokens"), _("Difference, %"), _("Band, %"),
            ],
            **upload_context(self.actor),
        }  # fmt: skip
        return render(request, "metering_ingest/provider.html", context)


class BuyerMetering(ActorPage):
    """A buyer's receipts beside the platform's counts and the providers'."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The last 30 days, and the upload."""
        rows = figures.allocations(self.actor, now=clock.now(), as_seller=False)
        return render(request, "metering_ingest/buyer.html", {"rows": rows, **upload_context(self.actor)})


class Minutes(ActorPage):
    """One allocation, minute by minute."""

    scope = "usage:read"

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Three counts each; minutes that differ stand first."""
        context = minutes_context(self.actor, public_id)
        if context is None:
            return not_found_page(request)
        return render(request, "metering_ingest/minutes.html", {**context, "form": forms.NoteForm()})


class Upload(ActorPage):
    """A CSV of receipts."""

    scope = "usage:write"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form alone."""
        return render(request, "metering_ingest/upload.html", upload_context(self.actor))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Take it in and say what became of it."""
        form = forms.ReceiptsForm(request.POST, request.FILES)
        if form.is_valid():
            try:
                taken = receipts.upload(form.cleaned_data["file"], actor=self.actor, now=clock.now())
            except DomainError as error:
                form.refuse(error)
            else:
                _tell(request, taken)
                return redirect("metering:provider" if self.actor.is_provider else "metering:buyer")
        return render(request, "metering_ingest/upload.html", {"upload": form, "may_upload": True}, status=422)


def minutes_context(actor: Any, public_id: str) -> dict[str, Any] | None:
    """What the page of an allocation shows; None where it is not the reader's."""
    try:
        allocation_id = ids.decode("alc", public_id)
    except ids.BadId:
        return None
    now = clock.now()
    found = reads.compared_allocations(actor, since=_EVER, allocation_id=allocation_id, limit=1)
    if not found:
        return None
    rows = [figures.minute(one) for one in reads.minutes_of(allocation_id)]
    rows.sort(key=lambda row: row["view"].state in {"matched", "single_witness"})
    return {"allocation": figures.allocation(found[0], actor=actor, now=now), "rows": rows}


def upload_context(actor: Any) -> dict[str, Any]:
    """The form, for who may use it."""
    return {"upload": forms.ReceiptsForm(), "may_upload": actor.can("usage:write")}


def _tell(request: HttpRequest, taken: receipts.ReceiptsTaken) -> None:
    messages.success(
        request,
        ngettext("%(n)d receipt counted.", "%(n)d receipts counted.", taken.accepted) % {"n": taken.accepted},
    )
    left = len(taken.conflicts) + len(taken.quarantined) + len(taken.unknown)
    if left:
        messages.warning(
            request,
            _("%(conflicts)d contradict an earlier receipt, %(aside)d were set aside, %(unknown)d name no request of yours.")
            % {"conflicts": len(taken.conflicts), "aside": len(taken.quarantined), "unknown": len(taken.unknown)},
        )  # fmt: skip
