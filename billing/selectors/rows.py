"""Reads of billing. Every list and object is entered through the actor; what is foreign does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import connection
from django.db.models import Count, F, Min, Q, QuerySet, Sum

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from billing.kernel.contested import Parts, back
from billing.models import (
    AllocationPosting,
    ContestedAmount,
    Credit,
    DayClose,
    Invoice,
    InvoiceLine,
    RatedLine,
    RatingException,
)


class NoSuchInvoice(DomainError):
    """There is no such invoice, or it is another organisation's."""

    code = "not_found"
    status = 404


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold, and the row that breaks it."""

    rule: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is rated and not yet invoiced."""

    lines: int
    micro_st: int
    exact: int
    first_day: date | None


@dataclass(frozen=True, slots=True)
class SpentDay:
    """Rated usage of one delivery day, line and grade; `exact` is with what was paid and not drawn."""

    delivery_date: date
    line: str
    grade: str
    micro_st: int
    exact: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class RatedPart:
    """One live rated line behind an invoice line."""

    allocation_id: UUID
    bucket_id: int | None
    source: str
    micro_st: int
    price_micros: int
    exact: int


@dataclass(frozen=True, slots=True)
class Earned:
    """A provider's closed delivery days in sum, micro-yuan."""

    gross_micros: int
    tax_micros: int
    fee_micros: int
    payable_micros: int


def invoices(actor: Actor) -> QuerySet[Invoice]:
    """The actor's organisation's invoices, newest first by id."""
    if not actor.can("billing:read"):
        return Invoice.objects.none()
    return Invoice.objects.filter(organisation_id=actor.organisation_id).order_by("-id")


def invoice_row(invoice_id: UUID, *, actor: Actor) -> Invoice:
    """One invoice of the actor's organisation.

    :raises NoSuchInvoice: unknown, or foreign.
    """
    found = invoices(actor).filter(id=invoice_id).first()
    if found is None:
        raise NoSuchInvoice("There is no such invoice.")
    return found


def invoice_by_id(invoice_id: UUID) -> Invoice:
    """One invoice for the platform's own messages; pages and the API use `invoice_row`."""
    return Invoice.objects.get(id=invoice_id)


def lines_of(invoice: Invoice) -> QuerySet[InvoiceLine]:
    """An invoice's lines in order."""
    return InvoiceLine.objects.filter(invoice=invoice).order_by("number")


def rated_parts(line: InvoiceLine) -> list[RatedPart]:
    """The rated lines that an invoice line sums, in order."""
    rows = RatedLine.objects.filter(invoice_line=line).order_by("id")
    return [RatedPart(r.allocation_id, r.bucket_id, r.source, r.micro_st, r.price_micros, int(r.exact)) for r in rows]


def waiting(organisation_id: UUID) -> Waiting:
    """What would be on an invoice to date."""
    found = RatedLine.objects.filter(organisation_id=organisation_id, live=True, invoice_line__isnull=True).aggregate(
        lines=Count("id"), micro_st=Sum("micro_st"), exact=Sum("exact"), first=Min("delivery_date")
    )
    return Waiting(found["lines"], found["micro_st"] or 0, int(found["exact"] or 0), found["first"])


def buyers_waiting() -> list[tuple[UUID, date | None]]:
    """Buyers with rated lines that no invoice has, and the first such day."""
    rows = RatedLine.objects.filter(live=True, invoice_line__isnull=True).values_list("organisation_id")
    return [
        (organisation_id, first)
        for organisation_id, first in rows.annotate(Min("delivery_date")).order_by("organisation_id")
    ]


def first_waiting_day(organisation_id: UUID, *, after: date) -> date | None:
    """The first delivery day after `after` with lines that no invoice has."""
    rows = RatedLine.objects.filter(
        organisation_id=organisation_id, live=True, invoice_line__isnull=True, delivery_date__gt=after
    )
    found: date | None = rows.aggregate(first=Min("delivery_date"))["first"]
    return found


def days_to_close() -> list[tuple[UUID, date]]:
    """Providers' delivery days with postings that are not closed yet."""
    rows = AllocationPosting.objects.filter(
        posted_micros__gt=F("closed_micros") + F("credited_micros") + F("frozen_micros")
    )
    return list(rows.values_list("seller_id", "delivery_date").distinct().order_by("seller_id", "delivery_date"))


def credits_due(until: datetime) -> list[int]:
    """Charges of the market that sellers owe for windows that began before an instant, and that were not paid yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.id FROM market_charge c JOIN market_allocation a ON a.id = c.allocation_id "
            "JOIN market_product p ON p.id = a.product_id LEFT JOIN billing_credit k ON k.charge_id = c.id "
            "WHERE c.kind IN ('promise', 'shortfall') AND (k.id IS NULL OR k.paid_micros < k.owed_micros) "
            "AND p.window_start < %s ORDER BY k.paid_at NULLS FIRST, c.id LIMIT 1000",
            [until],
        )
        return [row[0] for row in cursor.fetchall()]


def earned_from(seller_id: UUID, buyer_id: UUID) -> int:
    """Micro-yuan that closed days made payable to a seller for one buyer's purchases, less what it gave back to it."""
    days = DayClose.objects.filter(seller_id=seller_id).aggregate(
        gross=Sum("gross_micros"), payable=Sum("payable_micros")
    )
    closed = AllocationPosting.objects.filter(seller_id=seller_id, organisation_id=buyer_id)
    gross = closed.aggregate(total=Sum("closed_micros"))["total"] or 0
    given = (
        Credit.objects.filter(seller_id=seller_id, buyer_id=buyer_id).aggregate(total=Sum("paid_micros"))["total"] or 0
    )
    contested = ContestedAmount.objects.filter(seller_id=seller_id, buyer_id=buyer_id, payable_micros__gt=0)
    given += sum(_of_payable(row) for row in contested)
    return max(0, gross * (days["payable"] or 0) // (days["gross"] or 1) - given)


def _of_payable(row: ContestedAmount) -> int:
    """What a dispute keeps of the seller's payable: frozen, or given back for good."""
    if row.credited_micros is None:
        return row.held_micros
    frozen = Parts(row.unbilled_micros, row.payable_micros, row.fee_micros, row.tax_micros)
    return back(frozen, row.credited_micros).payable - (row.credited_micros - row.paid_micros)


def spent_by_day(organisation_id: UUID, *, since: date) -> list[SpentDay]:
    """What is rated by delivery day, line and grade: quantities of usage, amounts with charges in them."""
    rows = (
        RatedLine.objects.filter(organisation_id=organisation_id, live=True, delivery_date__gte=since)
        .values("delivery_date", "line", "grade")
        .annotate(
            q=Sum("micro_st", filter=Q(charge__isnull=True), default=0),
            e=Sum("exact"),
            i=Sum("input_tokens"),
            c=Sum("cached_tokens"),
            o=Sum("output_tokens"),
        )
        .order_by("delivery_date", "line", "grade")
    )
    return [
        SpentDay(r["delivery_date"], r["line"], r["grade"], r["q"], int(r["e"]), r["i"], r["c"], r["o"]) for r in rows
    ]


def rated_by_allocation(allocation_ids: Iterable[UUID]) -> dict[UUID, tuple[int, int]]:
    """(micro-ST, exact amount) of the usage that consumes each allocation."""
    return _sums(RatedLine.objects.filter(allocation_id__in=list(allocation_ids), live=True, charge__isnull=True))


def charged_by_allocation(allocation_ids: Iterable[UUID]) -> dict[UUID, tuple[int, int]]:
    """(micro-ST, exact amount) of what is paid of each allocation without being drawn: undrawn, or cancelled."""
    return _sums(RatedLine.objects.filter(allocation_id__in=list(allocation_ids), live=True, charge__isnull=False))


def _sums(lines: QuerySet[RatedLine]) -> dict[UUID, tuple[int, int]]:
    rows = lines.values_list("allocation_id").annotate(Sum("micro_st"), Sum("exact"))
    return {key: (q, int(e)) for key, q, e in rows}


def exceptions() -> QuerySet[RatingException]:
    """Open rating exceptions, oldest first."""
    return RatingException.objects.filter(resolved_at__isnull=True).order_by("id")


def earned(seller_id: UUID, *, since: datetime | None = None) -> Earned:
    """A provider's closed days in sum."""
    rows = DayClose.objects.filter(seller_id=seller_id)
    if since is not None:
        rows = rows.filter(closed_at__gte=since)
    found = rows.aggregate(g=Sum("gross_micros"), t=Sum("tax_micros"), f=Sum("fee_micros"), p=Sum("payable_micros"))
    return Earned(found["g"] or 0, found["t"] or 0, found["f"] or 0, found["p"] or 0)
