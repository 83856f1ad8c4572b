"""Files of a finalised invoice: made once from its frozen figures, stored, and the same ever after."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.kernel.actor import Actor
from billing import selectors
from billing.documents import csv, pdf
from billing.documents.figures import from_dict
from billing.models import InvoiceFile

_MEDIA = {"pdf": "application/pdf", "csv": "text/csv; charset=utf-8"}


@dataclass(frozen=True)
class Document:
    """A file to hand out."""

    name: str
    media_type: str
    content: bytes
    sha256: str


def invoice_file(invoice_id: UUID, *, kind: str, language: str, actor: Actor, now: datetime) -> Document:
    """The invoice as `pdf` (in `zh` or `en`) or `csv`.

    :raises selectors.NoSuchInvoice: unknown, or another organisation's.
    """
    invoice = selectors.invoice_row(invoice_id, actor=actor)
    language = language if kind == "pdf" else "en"
    stored = InvoiceFile.objects.filter(invoice=invoice, kind=kind, language=language).first()
    if stored is None:
        figures = from_dict(invoice.figures)
        content = csv.render(figures) if kind == "csv" else pdf.render(figures, "zh" if language == "zh" else "en")
        made = InvoiceFile(
            invoice=invoice, kind=kind, language=language, content=content, made_at=now,
            sha256=hashlib.sha256(content).hexdigest(),
        )  # fmt: skip
        InvoiceFile.objects.bulk_create([made], ignore_conflicts=True)  # a twin request makes the same bytes
        stored = InvoiceFile.objects.get(invoice=invoice, kind=kind, language=language)
    suffix = f"-{language}" if kind == "pdf" else ""
    name = f"{invoice.figures['number']}{suffix}.{kind}"
    return Document(name, _MEDIA[kind], bytes(stored.content), stored.sha256)
