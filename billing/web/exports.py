"""Pages for files that are of more than one invoice."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.http.web import ActorPage, not_found_page
from accounts.selectors import clock
from billing import selectors, services
from billing.http import file_response, invoice_ids
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
