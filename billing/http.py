"""What billing's pages and its API share of HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.http import HttpResponse

from accounts.kernel import ids
from billing import selectors
from billing.services import Document

USAGE_DAYS = 30
YUAN = r"\A[0-9]{1,10}(\.[0-9]{1,2})?\Z"


def file_response(document: Document) -> HttpResponse:
    """A document as a download; its name is made of our own number only."""
    response = HttpResponse(document.content, content_type=document.media_type)
    response["Content-Disposition"] = f'attachment; filename="{document.name}"'
    response["X-Content-SHA256"] = document.sha256
    return response


def invoice_ids(texts: Iterable[str]) -> list[UUID]:
    """Invoices by their public ids.

    :raises selectors.NoSuchInvoice: a text that is no such id.
    """
    try:
        return [ids.decode("inv", text) for text in texts]
    except ids.BadId:
        raise selectors.NoSuchInvoice("There is no such invoice.") from None
