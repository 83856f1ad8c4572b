"""The mail that billing sends."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.kernel import ids
from accounts.selectors import members, organisations
from billing import selectors


def mail_invoice(topic: str, payload: dict[str, Any]) -> None:
    """Outbox handler of `billing.invoice.issued`: tell the buyer's finance members, or its owners where there are none.

    The mail has number and total and leads to the invoice; the figures behind it stay behind the sign-in.
    """
    invoice = selectors.invoice_by_id(UUID(payload["invoice_id"]))
    buyer = organisations.get(invoice.organisation_id)
    to = members.addresses(buyer.id, ["finance"]) or members.addresses(buyer.id, ["owner"])
    path = reverse("billing:invoice", args=[ids.encode("inv", invoice.id)])
    values = {
        "number": invoice.figures["number"], "total": invoice.figures["total"], "currency": invoice.currency,
        "link": settings.SITE_URL.rstrip("/") + path,
    }  # fmt: skip
    with translation.override(buyer.language):
        subject = _("Invoice {number}").format(**values)
        text = _("Invoice {number} of {currency} {total} is issued.\n\nPDF and CSV: {link}").format(**values)
        for address in to:  # each on its own: members need not see one another's addresses
            send_mail(subject, text, None, [address])
