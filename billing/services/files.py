"""Files of a finalised invoice: made once from its frozen figures, stored, and the same ever after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from billing import selectors
from billing.documents import archive, csv, json_file, pdf, xlsx
from billing.documents.figures import DocumentFigures, from_dict
from billing.models import CreditNoteFile, Invoice, InvoiceFile

_File = TypeVar("_File", InvoiceFile, CreditNoteFile)
MEDIA: dict[str, str] = {
    "pdf": "application/pdf",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
    "zip": "application/zip",
}
MOST_IN_ZIP = 50
_MAKERS: dict[str, Callable[[DocumentFigures], bytes]] = {
    "csv": csv.render, "xlsx": xlsx.render, "json": json_file.render,
}  # fmt: skip
# Everything that an archive has of one invoice.
ALL = (("pdf", "zh"), ("pdf", "en"), ("csv", "en"), ("xlsx", "en"), ("json", "en"))


class BadSelection(DomainError):
    """No invoice was named for the archive, or more than one request may take."""

    code = "bad_selection"
    status = 422


@dataclass(frozen=True)
class Document:
    """A file to hand out."""

    name: str
    media_type: str
    content: bytes
    sha256: str


def invoice_file(invoice_id: UUID, *, kind: str, language: str, actor: Actor, now: datetime) -> Document:
    """The invoice as `pdf` (in `zh` or `en`), `csv`, `xlsx` or `json`.

    :raises selectors.NoSuchInvoice: unknown, or another organisation's.
    """
    invoice = selectors.invoice_row(invoice_id, actor=actor)
    return stored_file(invoice, kind=kind, language=language, now=now)


def stored_file(invoice: Invoice, *, kind: str, language: str, now: datetime) -> Document:
    """The stored file of an invoice that the caller may read; made at the first call."""
    language = "zh" if kind == "pdf" and language == "zh" else "en"
    figures = from_dict(invoice.figures)

    def make() -> bytes:
        return pdf.render(figures, "zh" if language == "zh" else "en") if kind == "pdf" else _MAKERS[kind](figures)

    stored = kept(InvoiceFile, {"invoice": invoice, "kind": kind, "language": language}, make, now=now)
    suffix = f"-{language}" if kind == "pdf" else ""
    name = f"{invoice.figures['number']}{suffix}.{kind}"
    return Document(name, MEDIA[kind], bytes(stored.content), stored.sha256)


def kept(model: type[_File], which: dict[str, Any], make: Callable[[], bytes], *, now: datetime) -> _File:
    """The stored file of a document; made and stored where there is none."""
    stored = model.objects.filter(**which).first()
    if stored is None:
        content = make()
        made = model(**which, content=content, made_at=now, sha256=hashlib.sha256(content).hexdigest())
        model.objects.bulk_create([made], ignore_conflicts=True)  # a twin request makes the same bytes
        stored = model.objects.get(**which)
    return stored


def invoices_zip(invoice_ids: Sequence[UUID], *, actor: Actor, now: datetime) -> Document:
    """All files of several invoices in one archive with their hashes; the same selection gives the same bytes.

    :raises BadSelection: none, or more than `MOST_IN_ZIP`; an export takes any number.
    :raises selectors.NoSuchInvoice: one of them is unknown, or another organisation's.
    """
    wanted = sorted(set(invoice_ids))
    if not 1 <= len(wanted) <= MOST_IN_ZIP:
        raise BadSelection(f"An archive holds 1 to {MOST_IN_ZIP} invoices; an export takes more.")
    found = list(selectors.invoices(actor).filter(id__in=wanted).order_by("series", "number"))
    if len(found) != len(wanted):
        raise selectors.NoSuchInvoice("There is no such invoice.")
    content = archive.render(entry for invoice in found for entry in entries(invoice, now=now))
    return Document("invoices.zip", MEDIA["zip"], content, hashlib.sha256(content).hexdigest())


def entries(invoice: Invoice, *, now: datetime) -> Iterator[archive.Entry]:
    """Every file of one invoice, in a folder of its number."""
    figures = from_dict(invoice.figures)
    about = {"invoice": figures.number, "total": figures.total, "verification": figures.digest}
    for kind, language in ALL:
        document = stored_file(invoice, kind=kind, language=language, now=now)
        yield archive.Entry(f"{figures.number}/{document.name}", document.content, about)
