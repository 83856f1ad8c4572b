"""Invoices: the waiting rated lines of one buyer become a numbered document that never changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F

from accounts import services as accounts
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.selectors import organisations
from billing import locks, selectors
from billing.documents.figures import Header, Party, freeze
from billing.kernel import invoice as kernel
from billing.kernel.periods import Period, PeriodKind, market_date, period_from
from billing.kernel.rounding import divide_half_up
from billing.kernel.tokens import TokenCounts
from billing.models import AllocationPosting, BillingProfile, Invoice, InvoiceLine, RatedLine, TaxRate
from ledger import services as ledger
from ledger.services import Leg, TransferDraft

SERIES = "TS"
TAX_CODE = "general"


class BillingError(DomainError):
    """Billing refuses; the code says why."""


class NothingToInvoice(BillingError):
    """No rated usage waits for an invoice, or it is worth less than one fen."""

    code = "nothing_to_invoice"
    status = 409


class NotBillingOfficer(BillingError):
    """The actor may not issue invoices for this organisation."""

    code = "forbidden"
    status = 403


def invoice_to_date(*, actor: Actor, now: datetime) -> UUID:
    """Invoice everything of the actor's organisation that is rated by now.

    :raises NotBillingOfficer: the actor lacks `billing:write`.
    :raises NothingToInvoice: no usage waits, or below 1 fen.
    """
    if not actor.can("billing:write"):
        raise NotBillingOfficer("Only a finance member or the owner may issue an invoice to date.")
    with transaction.atomic():
        invoice_id = finalise(actor.organisation_id, until=now, now=now)
        if invoice_id is None:
            raise NothingToInvoice("Nothing is waiting for an invoice yet.")
        accounts.audit.record(
            actor=actor, action="invoice.issued", subject=str(invoice_id), detail={"until": now.isoformat()}, now=now
        )
    return invoice_id


def invoice_ended_periods(*, now: datetime) -> int:
    """Finalise every ended period whose grace is over; gives how many invoices that made."""
    made = 0
    for organisation_id, earliest in selectors.buyers_waiting():
        first_waiting = earliest
        profile = BillingProfile.objects.filter(organisation_id=organisation_id).first() or BillingProfile()
        kind = PeriodKind(profile.period)
        while first_waiting is not None:
            period = period_from(kind, first_waiting)
            if period.end + timedelta(hours=profile.grace_hours) > now:
                break
            with transaction.atomic():
                made += finalise(organisation_id, until=period.end, now=now) is not None
            first_waiting = selectors.first_waiting_day(organisation_id, after=period.last_date)
    return made


def finalise(organisation_id: UUID, *, until: datetime, now: datetime) -> UUID | None:
    """Make one invoice of the lines of delivery days up to `until`; None if they are worth less than 1 fen.

    `until` is an instant: the day it falls into counts, unless it is that day's
    first instant. All figures are computed before the number is taken.
    """
    profile = locks.billing_profile(organisation_id)
    waiting = locks.waiting_lines(organisation_id, until=market_date(until - timedelta(microseconds=1)))
    figures = kernel.figures(_amounts(waiting))
    if figures is None:
        return None
    postings = locks.postings({line.allocation_id for line in waiting})
    owed = sum(row.owed_micros - row.owed_invoiced_micros for row in postings)
    due_fen = divide_half_up(owed, 10_000)
    days = [line.delivery_date for line in waiting]
    invoice = Invoice(
        organisation_id=organisation_id,
        series=SERIES,
        state=Invoice.State.OPEN if due_fen else Invoice.State.PAID,
        currency=settings.MARKET_CURRENCY,
        period_start=period_from(PeriodKind.DAY, min(days)).start,
        period_end=period_from(PeriodKind.DAY, max(days)).end,
        issued_at=now,
        due_date=market_date(now) + timedelta(days=profile.due_days) if due_fen else None,
        net_fen=figures.net_fen,
        tax_fen=figures.tax_fen,
        total_fen=figures.total_fen,
        exact=figures.exact,
        rounding_exact=figures.rounding_exact,
        settled_micros=sum(row.posted_micros - row.invoiced_micros for row in postings) - owed,
        due_fen=due_fen,
    )
    _save(invoice, figures, waiting, postings)
    _post_rounding(invoice, owed, now)
    accounts.outbox.add("billing.invoice.issued", {"invoice_id": str(invoice.id)}, now=now)
    return invoice.id


def _amounts(lines: Sequence[RatedLine]) -> list[kernel.RatedAmount]:
    sellers = organisations.get_many({line.seller_id for line in lines})
    rates = {day: tax_rate_bps(day) for day in {line.delivery_date for line in lines}}
    return [
        kernel.RatedAmount(
            rated_line_id=line.id,
            key=kernel.LineKey(line.line, line.grade, line.delivery_date, rates[line.delivery_date], _kind(line)),
            provider=sellers[line.seller_id].name,
            micro_st=line.micro_st,
            exact=int(line.exact),
            tokens=TokenCounts(line.input_tokens, line.cached_tokens, line.output_tokens),
        )
        for line in lines
    ]


def _kind(line: RatedLine) -> kernel.LineKind:
    return kernel.LineKind.USAGE if line.charge_id is None else kernel.LineKind(line.source)


def tax_rate_bps(day: date) -> int:
    """The general rate that holds on a delivery day, in basis points."""
    rate = (
        TaxRate.objects.filter(code=TAX_CODE, valid_from__lte=day)
        .exclude(valid_until__lt=day)
        .order_by("-valid_from")
        .first()
    )
    assert rate is not None, "the migration seeds a rate that holds on every day"
    return rate.rate_bps


def _party(view: organisations.OrganisationView) -> Party:
    return Party(
        name=view.legal_name or view.name,
        tax_number=view.tax_number,
        address=view.address,
        phone=view.phone,
        bank=view.bank_name,
        bank_account=view.bank_account,
    )


def _header(invoice: Invoice) -> Header:
    return Header(
        number=number_text(invoice.series, invoice.number),
        period=Period(PeriodKind.DAY, invoice.period_start, invoice.period_end),
        issued_at=invoice.issued_at,
        due_date=invoice.due_date,
        seller=_party(organisations.get(organisations.operator_id())),
        buyer=_party(organisations.get(invoice.organisation_id)),
        settled_micros=invoice.settled_micros,
        due_fen=invoice.due_fen,
        link=f"{settings.SITE_URL}/billing/invoices/{ids.encode('inv', invoice.id)}/",
        currency=invoice.currency,
    )


def number_text(series: str, number: int) -> str:
    """An invoice number as printed, such as TS-000001."""
    return f"{series}-{number:06d}"


def _save(
    invoice: Invoice, figures: kernel.InvoiceFigures, waiting: Sequence[RatedLine], postings: list[AllocationPosting]
) -> None:
    """Take the number last, so that its row is locked for the shortest time, and write all rows."""
    lines = [_line(invoice, line) for line in figures.lines]
    for row in postings:
        row.invoiced_micros = row.posted_micros
        row.owed_invoiced_micros = row.owed_micros
    AllocationPosting.objects.bulk_update(postings, ["invoiced_micros", "owed_invoiced_micros"], batch_size=1_000)
    series = locks.number_series(invoice.series)
    series.last = F("last") + 1
    series.save(update_fields=["last"])
    series.refresh_from_db()
    invoice.number = series.last
    invoice.figures = freeze(_header(invoice), figures).as_dict()
    invoice.save(force_insert=True)
    InvoiceLine.objects.bulk_create(lines)
    by_key = {(line.line, line.grade, line.delivery_date, line.kind): line for line in lines}
    for rated in waiting:
        rated.invoice_line = by_key[(rated.line, rated.grade, rated.delivery_date, _kind(rated))]
    RatedLine.objects.bulk_update(waiting, ["invoice_line"], batch_size=1_000)


def _line(invoice: Invoice, line: kernel.InvoiceLine) -> InvoiceLine:
    return InvoiceLine(
        invoice=invoice,
        number=line.number,
        kind=line.key.kind.value,
        line=line.key.model_line,
        grade=line.key.grade,
        delivery_date=line.key.delivery_date,
        tax_rate_bps=line.key.tax_rate_bps,
        provider=line.provider or "",
        micro_st=line.micro_st,
        input_tokens=line.tokens.input,
        cached_tokens=line.tokens.cached,
        output_tokens=line.tokens.output,
        average_price_micros=line.average_price_micros,
        exact=line.exact,
        amount_fen=line.amount_fen,
        net_fen=line.net_fen,
        tax_fen=line.tax_fen,
        digest=line.digest,
    )


def _post_rounding(invoice: Invoice, owed_micros: int, now: datetime) -> None:
    """Wallet and receivable moved micro-yuan, the invoice says fen: the difference stands in `rounding`."""
    difference = invoice.total_fen * 10_000 - invoice.settled_micros - owed_micros
    if difference == 0:
        return
    unbilled = ledger.open_account(organisation_id=invoice.organisation_id, kind="unbilled", currency=invoice.currency)
    rounding = ledger.open_account(organisation_id=None, kind="rounding", currency=invoice.currency)
    debit, credit = (rounding, unbilled) if difference > 0 else (unbilled, rounding)
    legs = (Leg(debit, "debit", abs(difference)), Leg(credit, "credit", abs(difference)))
    draft = TransferDraft(key=f"invoice:{invoice.id}:rounding", kind="rounding", legs=legs, currency=invoice.currency)
    ledger.post([draft], now=now)
