"""What billing's pages and its API share of HTTP."""

from __future__ import annotations

from django.http import HttpResponse

from billing.services import Document

USAGE_DAYS = 30
YUAN = r"\A[0-9]{1,10}(\.[0-9]{1,2})?\Z"


def file_response(document: Document) -> HttpResponse:
    """A document as a download; its name is made of our own number only."""
    response = HttpResponse(document.content, content_type=document.media_type)
    response["Content-Disposition"] = f'attachment; filename="{document.name}"'
    response["X-Content-SHA256"] = document.sha256
    return response
