"""Reads of billing. Every list and object is entered through the actor; what is foreign does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, F, Min, QuerySet, Sum

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from billing.models import AllocationPosting, DayClose, Invoice, InvoiceLine, RatedLine, RatingException


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
    """Rated usage of one delivery day, line and grade."""

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
    bucket_id: int
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
    rows = AllocationPosting.objects.filter(closed_micros__lt=F("posted_micros"))
    return list(rows.values_list("seller_id", "delivery_date").distinct().order_by("seller_id", "delivery_date"))


def spent_by_day(organisation_id: UUID, *, since: date) -> list[SpentDay]:
    """Rated usage by delivery day, line and grade."""
    rows = (
        RatedLine.objects.filter(organisation_id=organisation_id, live=True, delivery_date__gte=since)
        .values("delivery_date", "line", "grade")
        .annotate(
            q=Sum("micro_st"), e=Sum("exact"), i=Sum("input_tokens"), c=Sum("cached_tokens"), o=Sum("output_tokens")
        )
        .order_by("delivery_date", "line", "grade")
    )
    return [
        SpentDay(r["delivery_date"], r["line"], r["grade"], r["q"], int(r["e"]), r["i"], r["c"], r["o"]) for r in rows
    ]


def rated_by_allocation(allocation_ids: Iterable[UUID]) -> dict[UUID, tuple[int, int]]:
    """(micro-ST, exact amount) of the live rated lines that consume each allocation."""
    rows = RatedLine.objects.filter(allocation_id__in=list(allocation_ids), live=True).values_list("allocation_id")
    return {key: (q, int(e)) for key, q, e in rows.annotate(Sum("micro_st"), Sum("exact"))}


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


def verify() -> list[Breach]:
    """Rated = settled, consumed <= bought, posted = floor(exact), invoice = sum of lines, numbers contiguous."""
    found: list[Breach] = []
    for rule, sql in _RULES.items():
        with connection.cursor() as cursor:
            cursor.execute(sql)
            found += [_breach(rule, row) for row in cursor.fetchall()]
    return found


def _breach(rule: str, row: tuple[Any, ...]) -> Breach:
    return Breach(rule, str(row[0]), str(row[1]))


_RULES = {
    "settled bucket = its live rated lines": """
        WITH newest AS (
            SELECT DISTINCT ON (s.bucket_id) s.bucket_id, s.micro_st, b.allocation_id
            FROM metering_settled_bucket s JOIN metering_bucket b ON b.id = s.bucket_id
            WHERE b.meter = 'gateway' AND s.sequence <= (SELECT sequence FROM billing_ratingwatermark WHERE id = 1)
            ORDER BY s.bucket_id, s.version DESC
        ), rated AS (
            SELECT bucket_id, sum(micro_st) AS micro_st FROM billing_ratedline WHERE live GROUP BY 1
        )
        SELECT 'bucket ' || n.bucket_id, 'settled ' || n.micro_st || ', rated ' || coalesce(r.micro_st, 0)
        FROM newest n LEFT JOIN rated r USING (bucket_id)
        JOIN market_allocation a ON a.id = n.allocation_id
        WHERE n.micro_st <> coalesce(r.micro_st, 0) AND NOT EXISTS (
            SELECT 1 FROM billing_ratingexception x
            WHERE x.organisation_id = a.buyer_id AND x.product_id = a.product_id AND x.resolved_at IS NULL
        ) LIMIT 100""",
    "consumed <= bought, at the allocation's price": """
        SELECT 'allocation ' || a.id, 'rated ' || sum(r.micro_st) || ' of ' || a.quantity_st * 1000000
        FROM billing_ratedline r JOIN market_allocation a ON a.id = r.allocation_id
        WHERE r.live GROUP BY a.id
        HAVING sum(r.micro_st) > a.quantity_st::numeric * 1000000 OR bool_or(r.price_micros <> a.price_micros)
        LIMIT 100""",
    "posted = floor of exact": """
        SELECT 'allocation ' || p.allocation_id, 'posted ' || p.posted_micros || ', exact ' || coalesce(sum(r.exact), 0)
        FROM billing_allocationposting p
        LEFT JOIN billing_ratedline r ON r.allocation_id = p.allocation_id AND r.live
        GROUP BY p.allocation_id
        HAVING p.posted_micros <> floor(coalesce(sum(r.exact), 0) / 1000000000000) LIMIT 100""",
    "invoice = sum of its lines": """
        SELECT 'invoice ' || i.id, 'total ' || i.total_fen || ', lines ' || coalesce(sum(l.amount_fen), 0)
        FROM billing_invoice i LEFT JOIN billing_invoiceline l ON l.invoice_id = i.id
        GROUP BY i.id
        HAVING i.total_fen <> coalesce(sum(l.amount_fen), 0) OR i.net_fen <> coalesce(sum(l.net_fen), 0)
            OR i.tax_fen <> coalesce(sum(l.tax_fen), 0) OR i.exact <> coalesce(sum(l.exact), 0)
            OR i.rounding_exact <> i.exact - i.total_fen::numeric * 10000000000000000 LIMIT 100""",
    "invoice line = sum of its rated lines": """
        SELECT 'invoice line ' || l.id, 'line ' || l.micro_st || ', rated ' || coalesce(sum(r.micro_st), 0)
        FROM billing_invoiceline l LEFT JOIN billing_ratedline r ON r.invoice_line_id = l.id AND r.live
        GROUP BY l.id
        HAVING l.micro_st <> coalesce(sum(r.micro_st), 0) OR l.exact <> coalesce(sum(r.exact), 0)
            OR l.amount_fen <> floor(l.exact / 10000000000000000 + 0.5) LIMIT 100""",
    "invoice numbers contiguous": """
        SELECT 'series ' || i.series, 'numbers ' || min(i.number) || ' to ' || max(i.number) || ', ' || count(*) || ' invoices'
        FROM billing_invoice i JOIN billing_numberseries n ON n.series = i.series
        GROUP BY i.series, n.last
        HAVING min(i.number) <> 1 OR max(i.number) <> count(*) OR n.last <> count(*)""",
    "unbilled = posted - closed - rounding": """
        WITH posted AS (
            SELECT organisation_id, sum(posted_micros - closed_micros) AS micros
            FROM billing_allocationposting GROUP BY 1
        ), invoiced AS (
            SELECT i.organisation_id,
                   sum(i.total_fen::numeric * 10000 - i.settled_micros) AS micros, sum(i.due_fen) AS due
            FROM billing_invoice i GROUP BY 1
        ), unbilled AS (
            SELECT a.organisation_id, sum(CASE e.direction WHEN 'credit' THEN e.amount_micros ELSE -e.amount_micros END) AS micros
            FROM ledger_account a JOIN ledger_entry e ON e.account_id = a.id
            WHERE a.kind = 'unbilled' GROUP BY 1
        )
        SELECT 'organisation ' || p.organisation_id,
               'unbilled ' || coalesce(u.micros, 0) || ', posted and open ' || p.micros || ', fen ' || coalesce(i.micros, 0)
        FROM posted p LEFT JOIN unbilled u USING (organisation_id) LEFT JOIN invoiced i USING (organisation_id)
        WHERE coalesce(i.due, 0) = 0 AND coalesce(u.micros, 0) <> p.micros + coalesce(i.micros, 0) LIMIT 100""",
}
