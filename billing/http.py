"""What billing's pages and its API share of HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.http import HttpResponse

from accounts.http.pagination import BadCursor
from accounts.kernel import ids
from billing import selectors
from billing.services import Document
from billing.services.files import MEDIA

USAGE_DAYS = 30
XLSX = MEDIA["xlsx"]
YUAN = r"\A[0-9]{1,10}(\.[0-9]{1,2})?\Z"


def file_response(document: Document) -> HttpResponse:
    """A document as a download; its name is made of our own number only."""
    return download(document.name, document.media_type, document.content, sha256=document.sha256)


def download(name: str, media_type: str, content: bytes, *, sha256: str | None = None) -> HttpResponse:
    """Bytes as a download with their hash; the name is made of our own numbers only."""
    response = HttpResponse(content, content_type=media_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-SHA256"] = sha256 or hashlib.sha256(content).hexdigest()
    return response


def chain_file(document: dict[str, Any]) -> HttpResponse:
    """The chain behind an invoice line as a download."""
    name = f"{document['invoice']['figures']['number']}-line-{document['line']['number']}.json"
    return download(name, "application/json", json.dumps(document, ensure_ascii=False).encode())


def record_key(text: str) -> UUID | None:
    """A usage record's key as the cursor of a list.

    :raises BadCursor: no such key.
    """
    try:
        return UUID(hex=text) if text else None
    except ValueError:
        raise BadCursor("The cursor is not one that this list gave.") from None


def invoice_ids(texts: Iterable[str]) -> list[UUID]:
    """Invoices by their public ids.

    :raises selectors.NoSuchInvoice: a text that is no such id.
    """
    try:
        return [ids.decode("inv", text) for text in texts]
    except ids.BadId:
        raise selectors.NoSuchInvoice("There is no such invoice.") from None


def fen_of(text: str) -> int:
    """Fen of a text that matched `YUAN`."""
    whole, _, places = text.partition(".")
    return int(whole) * 100 + int((places + "00")[:2])
