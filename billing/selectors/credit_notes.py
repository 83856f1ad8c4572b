"""Reads of credit notes and of their proposals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet, Sum

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from billing.kernel.credit_note import Amounts
from billing.models import ContestedAmount, CreditNote, CreditNoteLine, CreditProposal, Invoice, InvoiceLine, RatedLine
from billing.selectors.rows import NoSuchInvoice

MICROS_PER_FEN = 10_000


class NoSuchNote(DomainError):
    """There is no such credit note, or it is another organisation's."""

    code = "not_found"
    status = 404


class NoSuchProposal(DomainError):
    """There is no such proposal, or the actor may not see any."""

    code = "not_found"
    status = 404


@dataclass(frozen=True, slots=True)
class Creditable:
    """One invoice line: what notes gave back of it, and how much more may be given back, in fen."""

    line: InvoiceLine
    so_far: Amounts
    left_fen: int

    @property
    def number(self) -> int:
        """Of the line."""
        return self.line.number


def notes(actor: Actor) -> QuerySet[CreditNote]:
    """The actor's organisation's notes, newest first by id."""
    if not actor.can("billing:read"):
        return CreditNote.objects.none()
    return CreditNote.objects.filter(organisation_id=actor.organisation_id).order_by("-id")


def note_row(note_id: UUID, *, actor: Actor) -> CreditNote:
    """One note of the actor's organisation; staff of the operator see all.

    :raises NoSuchNote: unknown, or foreign.
    """
    mine = CreditNote.objects.all() if actor.is_staff else notes(actor)
    found = mine.filter(id=note_id).select_related("invoice").first()
    if found is None:
        raise NoSuchNote("There is no such credit note.")
    return found


def proposals() -> QuerySet[CreditProposal]:
    """All proposals, newest first by id; for staff only."""
    return CreditProposal.objects.select_related("invoice", "note").order_by("-id")


def any_invoice(invoice_id: UUID) -> Invoice:
    """An invoice of any organisation, for staff.

    :raises NoSuchInvoice: there is none.
    """
    found = Invoice.objects.filter(id=invoice_id).first()
    if found is None:
        raise NoSuchInvoice("There is no such invoice.")
    return found


def credited_fen(invoice: Invoice) -> int:
    """What notes have given back of an invoice so far."""
    total: int = CreditNote.objects.filter(invoice=invoice).aggregate(all=Sum("total_fen", default=0))["all"]
    return total


def creditable(invoice: Invoice) -> list[Creditable]:
    """The lines of an invoice by number. What disputes gave back of a line is not given back again."""
    lines = list(InvoiceLine.objects.filter(invoice=invoice).order_by("number"))
    sums = CreditNoteLine.objects.filter(line__in=lines).values_list("line_id")
    so_far = {
        key: Amounts(*amounts) for key, *amounts in sums.annotate(Sum("amount_fen"), Sum("net_fen"), Sum("tax_fen"))
    }
    disputed = _disputed_fen(lines)
    found = []
    for line in lines:
        given = so_far.get(line.id, Amounts(0, 0, 0))
        found.append(Creditable(line, given, max(0, line.amount_fen - given.amount - disputed[line.id])))
    return found


def _disputed_fen(lines: list[InvoiceLine]) -> dict[int, int]:
    """By line: what disputes of its allocations gave or owe the buyer, rounded up to fen."""
    pairs = set(RatedLine.objects.filter(invoice_line__in=lines).values_list("invoice_line_id", "allocation_id"))
    given = dict(
        ContestedAmount.objects.filter(allocation_id__in={allocation for _, allocation in pairs}, credited_micros__gt=0)
        .values_list("allocation_id")
        .annotate(Sum("credited_micros"))
    )
    micros: dict[int, int] = defaultdict(int)
    for line_id, allocation_id in pairs:
        micros[line_id] += given.get(allocation_id, 0)
    return defaultdict(int, {line_id: -(-amount // MICROS_PER_FEN) for line_id, amount in micros.items()})
