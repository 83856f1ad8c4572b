"""Pages for files that are of more than one invoice."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock, members
from billing import selectors, services
from billing.http import file_response, invoice_ids
from billing.models import Export
from billing.services.files import MOST_IN_ZIP, BadSelection


class InvoiceArchive(ActorPage):
    """The invoices that were ticked, as one ZIP."""

    scope = "billing:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The archive; without a choice, back to the list with a sentence."""
        try:
            wanted = invoice_ids(request.GET.getlist("id"))
            return file_response(services.invoices_zip(wanted, actor=self.actor, now=clock.now()))
        except selectors.NoSuchInvoice:
            return not_found_page(request)
        except BadSelection:
            messages.info(request, _("Tick 1 to %(most)s invoices for a ZIP.") % {"most": MOST_IN_ZIP})
            return redirect("billing:invoices")


class ExportForm(forms.Form):
    """What to export."""

    what = forms.ChoiceField(
        label=gettext_lazy("What"),
        choices=[
            ("lines.csv", gettext_lazy("Invoice lines, CSV")),
            ("lines.xlsx", gettext_lazy("Invoice lines, XLSX")),
            ("lines.zip", gettext_lazy("Invoice lines, CSV and XLSX in a ZIP")),
            ("files.zip", gettext_lazy("All files of the invoices, ZIP")),
        ],
        widget=forms.Select(attrs={"class": "select"}),
    )
    first_date = forms.DateField(
        label=gettext_lazy("From"), required=False, widget=forms.DateInput(attrs={"class": "input", "type": "date"})
    )
    last_date = forms.DateField(
        label=gettext_lazy("To"), required=False, widget=forms.DateInput(attrs={"class": "input", "type": "date"})
    )

    def draft(self) -> dict[str, Any]:
        """Arguments of `services.exports.request`."""
        kind, _dot, written = self.cleaned_data["what"].partition(".")
        days = {name: self.cleaned_data[name] for name in ("first_date", "last_date")}
        return {"kind": kind, "format": written, **days}


class Exports(ActorPage):
    """All exports of the organisation, and a new one."""

    scope = "billing:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first; a fragment while something is being made."""
        if request.headers.get("HX-Request") == "true":
            return render(request, "billing/export_rows.html", self._rows())
        return self._show(request, ExportForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Ask for an export."""
        form = ExportForm(request.POST)
        if form.is_valid():
            try:
                services.exports.request(**form.draft(), actor=self.actor, now=clock.now())
            except DomainError as error:
                form.add_error(None, _refusal(error))
            else:
                messages.success(request, _("The export is being made. It stands here when it is ready."))
                return redirect("billing:exports")
        return self._show(request, form, status=422)

    def _show(self, request: HttpRequest, form: ExportForm, *, status: int = 200) -> HttpResponse:
        return render(request, "billing/exports.html", {"form": form, **self._rows()}, status=status)

    def _rows(self) -> dict[str, Any]:
        found = list(selectors.exports(self.actor)[:100])
        names = {one.user_id: one.user.name or one.user.email for one in members.of(self.actor)}
        rows = [
            {
                "export": one,
                "public_id": ids.encode("exp", one.id),
                "who": names.get(one.user_id) or (_("API key") if one.key_id else _("former member")),
                "may_retry": one.state in {Export.State.FAILED, Export.State.EXPIRED},
            }
            for one in found
        ]
        return {"rows": rows, "is_making": any(one.state == Export.State.WAITING for one in found)}


class ExportFile(ActorPage):
    """The file of an export."""

    scope = "billing:read"

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """The bytes; where they are not there, back to the list with a sentence."""
        try:
            return file_response(services.exports.file(ids.decode("exp", public_id), actor=self.actor, now=clock.now()))
        except (ids.BadId, selectors.NoSuchExport):
            return not_found_page(request)
        except services.exports.NotReady as error:
            messages.info(request, _refusal(error))
            return redirect("billing:exports")


class RetryExport(ActorPage):
    """Make a failed or expired export once more."""

    scope = "billing:read"

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Back to the list."""
        try:
            services.exports.retry(ids.decode("exp", public_id), actor=self.actor, now=clock.now())
        except (ids.BadId, selectors.NoSuchExport):
            return not_found_page(request)
        return redirect("billing:exports")


def _refusal(error: DomainError) -> str:
    known = {
        "bad_export": _("No invoice is in this selection, or the days are in the wrong order."),
        "export_too_large": _("That is more invoices than one export takes. Choose fewer days."),
        "too_many_exports": _("Several exports are still being made. Wait for one of them."),
        "export_not_ready": _("The file is not there: it is being made, or its seven days are over."),
    }
    return known.get(error.code, _("This value is not possible."))
