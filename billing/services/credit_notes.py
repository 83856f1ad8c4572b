"""Credit notes: one member of staff proposes, another confirms, and the money goes back with a numbered note.

The operator bears what it gives back: net out of its fees, tax out of the tax that it owes. No provider's money moves;
what a provider has to give back goes by a dispute or by a charge of the market.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum

from accounts import services as accounts
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.decimals import plain_yuan
from billing import locks
from billing.documents import credit_note as documents
from billing.documents.figures import from_dict
from billing.kernel import credit_note as kernel
from billing.kernel.credit_note import Amounts
from billing.kernel.periods import market_date
from billing.models import CreditNote, CreditNoteFile, CreditNoteLine, CreditProposal, Invoice, InvoiceLine
from billing.selectors import credit_notes as rows
from billing.services.files import MEDIA, Document, kept
from billing.services.invoices import BillingError, number_text
from ledger import selectors as ledger_reads
from ledger import services as ledger
from ledger.services import Leg, TransferDraft

SERIES = "CN"
MICROS_PER_FEN = 10_000


class NotStaffMember(BillingError):
    """Only a signed-in member of the operator's staff may propose or decide."""

    code = "forbidden"
    status = 403


class SecondPersonNeeded(BillingError):
    """Who proposed may not confirm."""

    code = "second_person_needed"
    status = 403


class CreditBeyondInvoice(BillingError):
    """More would be given back than is left of a line."""

    code = "credit_exceeds_invoice"
    status = 422


class BadCredit(BillingError):
    """No amount, no such line, or no reason."""

    code = "bad_credit"
    status = 422


class AlreadyDecided(BillingError):
    """The proposal was confirmed or rejected before."""

    code = "already_decided"
    status = 409


def may_credit(actor: Actor) -> bool:
    """A person of the operator's staff: a key has no second person."""
    return actor.is_staff and actor.user_id is not None and actor.organisation_kind == "operator"


def propose(
    invoice_id: UUID, *, amounts_fen: Mapping[int, int] | None, reason: str, actor: Actor, now: datetime
) -> UUID:
    """Propose to give back so many fen of each line by its number; None gives back all that is left of the invoice.

    :raises NotStaffMember: see `may_credit`.
    :raises selectors.NoSuchInvoice: there is no such invoice.
    :raises BadCredit, CreditBeyondInvoice: see there.
    """
    proposer = _person(actor)
    reason = reason.strip()
    if not 1 <= len(reason) <= 300 or any(ord(c) < 32 for c in reason):
        raise BadCredit("A credit note has a reason of 1 to 300 characters on one line.")
    with transaction.atomic():
        invoice = rows.any_invoice(invoice_id)
        if amounts_fen is None:
            amounts_fen = {one.number: one.left_fen for one in rows.creditable(invoice) if one.left_fen}
        _given(invoice, amounts_fen)  # refused now rather than by the second person
        proposal = CreditProposal(
            invoice=invoice,
            amounts={str(number): amount for number, amount in sorted(amounts_fen.items())},
            reason=reason,
            proposed_by=proposer,
            proposed_at=now,
        )
        proposal.save(force_insert=True)
        _audit(proposal, "credit_note.proposed", actor, now)
    return proposal.id


def confirm(proposal_id: UUID, *, actor: Actor, now: datetime) -> UUID:
    """Issue the note and give the money back; gives the note's id. What was confirmed before gives the same id.

    :raises NotStaffMember, SecondPersonNeeded, AlreadyDecided, CreditBeyondInvoice: see there.
    :raises rows.NoSuchProposal: there is none.
    """
    person = _person(actor)
    with transaction.atomic():
        proposal = _locked(proposal_id)
        if proposal.state == CreditProposal.State.CONFIRMED:
            return proposal.note.id
        if proposal.state != CreditProposal.State.PROPOSED:
            raise AlreadyDecided("The proposal was rejected.")
        if person == proposal.proposed_by:
            raise SecondPersonNeeded("Another member of staff has to confirm what you proposed.")
        # Notes and invoices of one organisation are made one at a time.
        locks.billing_profile(proposal.invoice.organisation_id)
        proposal.invoice = locks.invoice(
            proposal.invoice_id
        )  # a payment of it is booked before or after, not meanwhile
        note = _issue(proposal, now)
        _decide(proposal, CreditProposal.State.CONFIRMED, person, now)
        _audit(proposal, "credit_note.issued", actor, now)
    return note.id


def reject(proposal_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Nothing is given back; whoever may propose may reject, the proposer too.

    :raises NotStaffMember, AlreadyDecided, rows.NoSuchProposal: see there.
    """
    person = _person(actor)
    with transaction.atomic():
        proposal = _locked(proposal_id)
        if proposal.state != CreditProposal.State.PROPOSED:
            raise AlreadyDecided("The proposal was decided before.")
        _decide(proposal, CreditProposal.State.REJECTED, person, now)
        _audit(proposal, "credit_note.rejected", actor, now)


def note_file(note_id: UUID, *, kind: str, language: str, actor: Actor, now: datetime) -> Document:
    """The note as `pdf` (in `zh` or `en`), `csv`, `xlsx` or `json`; made once.

    :raises rows.NoSuchNote: unknown, or another organisation's.
    """
    note = rows.note_row(note_id, actor=actor)
    language = "zh" if kind == "pdf" and language == "zh" else "en"
    figures = documents.from_dict(note.figures)
    makers = {
        "pdf": lambda: documents.render_pdf(figures, "zh" if language == "zh" else "en"),
        "csv": lambda: documents.render_csv(figures),
        "xlsx": lambda: documents.render_xlsx(figures),
        "json": lambda: documents.render_json(figures),
    }
    found = kept(CreditNoteFile, {"note": note, "kind": kind, "language": language}, makers[kind], now=now)
    suffix = f"-{language}" if kind == "pdf" else ""
    return Document(f"{figures.number}{suffix}.{kind}", MEDIA[kind], bytes(found.content), found.sha256)


def _person(actor: Actor) -> UUID:
    if not may_credit(actor) or actor.user_id is None:
        raise NotStaffMember("Only signed-in staff of the operator may give money back.")
    return actor.user_id


def _locked(proposal_id: UUID) -> CreditProposal:
    found = locks.credit_proposal(proposal_id)
    if found is None:
        raise rows.NoSuchProposal("There is no such proposal.")
    return found


def _decide(proposal: CreditProposal, state: str, person: UUID, now: datetime) -> None:
    proposal.state, proposal.decided_by, proposal.decided_at = state, person, now
    proposal.save(update_fields=["state", "decided_by", "decided_at"])


def _given(invoice: Invoice, amounts_fen: Mapping[int, int]) -> dict[int, tuple[InvoiceLine, Amounts]]:
    """By line number: the line, and what the next note gives back of it."""
    left = {one.number: one for one in rows.creditable(invoice)}
    if not amounts_fen or not amounts_fen.keys() <= left.keys():
        raise BadCredit("Name amounts of lines that the invoice has.")
    found = {}
    for number, amount in sorted(amounts_fen.items()):
        one = left[number]
        if amount > one.left_fen:
            raise CreditBeyondInvoice(
                f"Of line {number} CN¥{documents.yuan(one.left_fen)} is left to give back, not {documents.yuan(amount)}."
            )
        line = Amounts(one.line.amount_fen, one.line.net_fen, one.line.tax_fen)
        try:
            found[number] = (one.line, kernel.next_note(line, so_far=one.so_far, amount=amount))
        except kernel.NothingToCredit:
            raise BadCredit("An amount to give back is above zero.") from None
    return found


def _issue(proposal: CreditProposal, now: datetime) -> CreditNote:
    invoice = proposal.invoice
    given = _given(invoice, {int(number): amount for number, amount in proposal.amounts.items()})
    net, tax = (sum(getattr(one, name) for _, one in given.values()) for name in ("net", "tax"))
    total = net + tax
    receivable = _owed(invoice, total * MICROS_PER_FEN)
    note = CreditNote(
        organisation_id=invoice.organisation_id,
        invoice=invoice,
        proposal=proposal,
        series=SERIES,
        currency=invoice.currency,
        net_fen=net,
        tax_fen=tax,
        total_fen=total,
        receivable_micros=receivable,
        wallet_micros=total * MICROS_PER_FEN - receivable,
        issued_at=now,
    )
    series = locks.number_series(SERIES)
    series.last = F("last") + 1
    series.save(update_fields=["last"])
    series.refresh_from_db()
    note.number = series.last
    note.figures = _figures(note, proposal.reason, given).as_dict()
    note.save(force_insert=True)
    CreditNoteLine.objects.bulk_create(
        [
            CreditNoteLine(note=note, line=line, amount_fen=one.amount, net_fen=one.net, tax_fen=one.tax)
            for line, one in given.values()
        ]
    )
    ledger.post([_draft(note)], now=now)
    if receivable and _open_micros(invoice) < MICROS_PER_FEN:
        Invoice.objects.filter(id=invoice.id).update(state=Invoice.State.PAID)
    accounts.outbox.add("billing.credit_note.issued", {"note_id": str(note.id)}, now=now)
    return note


def _owed(invoice: Invoice, most: int) -> int:
    """What of a credit goes against what the buyer still owes for this invoice."""
    if invoice.state == Invoice.State.PAID:
        return 0
    account = ledger.open_account(organisation_id=invoice.organisation_id, kind="receivable", currency=invoice.currency)
    return max(0, min(most, _open_micros(invoice), ledger_reads.balance(account).posted_micros))


def _open_micros(invoice: Invoice) -> int:
    """What of the amount due no note has taken off yet."""
    taken: int = CreditNote.objects.filter(invoice=invoice).aggregate(all=Sum("receivable_micros", default=0))["all"]
    return invoice.due_fen * MICROS_PER_FEN - taken


def _draft(note: CreditNote) -> TransferDraft:
    sides = (
        (None, "fee_revenue", "debit", note.net_fen * MICROS_PER_FEN),
        (None, "tax_payable", "debit", note.tax_fen * MICROS_PER_FEN),
        (note.organisation_id, "receivable", "credit", note.receivable_micros),
        (note.organisation_id, "wallet", "credit", note.wallet_micros),
    )
    legs = tuple(
        Leg(ledger.open_account(organisation_id=owner, kind=kind, currency=note.currency),
            "debit" if side == "debit" else "credit", micros)
        for owner, kind, side, micros in sides
        if micros
    )  # fmt: skip
    return TransferDraft(key=f"credit_note:{note.id}", kind="credit_note", legs=legs, currency=note.currency)


def _figures(
    note: CreditNote, reason: str, given: Mapping[int, tuple[InvoiceLine, Amounts]]
) -> documents.CreditFigures:  # fmt: skip
    invoice = from_dict(note.invoice.figures)
    so_far = note.total_fen + rows.credited_fen(note.invoice)
    return documents.CreditFigures(
        schema=documents.SCHEMA,
        number=number_text(note.series, note.number),
        invoice=invoice.number,
        invoice_verification=invoice.digest,
        currency=note.currency,
        seller=invoice.seller,
        buyer=invoice.buyer,
        issued_at=note.issued_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        issue_date=market_date(note.issued_at).isoformat(),
        reason=reason,
        lines=tuple(documents.line(invoice.lines[number - 1], one) for number, (_, one) in given.items()),
        net_fen=note.net_fen,
        net=documents.yuan(note.net_fen),
        tax_fen=note.tax_fen,
        tax=documents.yuan(note.tax_fen),
        total_fen=note.total_fen,
        total=documents.yuan(note.total_fen),
        **documents.words(note.total_fen),
        invoice_total=invoice.total,
        so_far=documents.yuan(so_far),
        left=documents.yuan(note.invoice.total_fen - so_far),
        receivable=plain_yuan(note.receivable_micros),
        wallet=plain_yuan(note.wallet_micros),
        link=f"{settings.SITE_URL}/billing/credit-notes/{ids.encode('crn', note.id)}/",
    )


def _audit(proposal: CreditProposal, action: str, actor: Actor, now: datetime) -> None:
    detail = {"invoice_id": str(proposal.invoice_id), "amounts_fen": proposal.amounts, "reason": proposal.reason}
    accounts.audit.record(actor=actor, action=action, subject=str(proposal.id), detail=detail, now=now)
