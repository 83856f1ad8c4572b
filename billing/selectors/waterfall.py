"""From what was metered to what was paid: one buyer's money over a span of delivery days, with the rest by cause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from billing.kernel.rounding import EXACT_PER_MICRO
from billing.models import ContestedAmount, Credit, CreditNote


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Exact amounts in 10^-18 yuan, micro-yuan where the name says so.

    metered - unsettled - unrated + repriced = rated usage; with charges it is rated; rated - uninvoiced = invoiced.
    Usage beyond its own purchase is paid at the price of the purchase that takes it: `repriced` is that difference.
    """

    metered: int
    unsettled: int
    unrated: int
    repriced: int
    undrawn: int
    fees: int
    uninvoiced: int
    invoiced: int
    frozen_micros: int
    credited_micros: int
    from_wallet_micros: int
    owed_micros: int

    @property
    def rated(self) -> int:
        """Usage and charges as rated."""
        return self.metered - self.unsettled - self.unrated + self.repriced + self.undrawn + self.fees

    @property
    def unexplained(self) -> int:
        """What no step explains; 0 unless a rule is broken."""
        return self.rated - self.uninvoiced - self.invoiced


@dataclass(frozen=True, slots=True)
class Open:
    """Something between two steps: why it waits, what it is of, and since when."""

    cause: str  # unsettled, an exception's reason, uninvoiced, contested
    line: str
    grade: str
    window_start: datetime
    micro_st: int
    exact: int
    since: datetime


def waterfall(organisation_id: UUID, *, first: date, last: date) -> Waterfall:
    """The buyer's sums over the delivery days from `first` to `last`, both counted."""
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, {"buyer": organisation_id, "first": first, "last": last})
        row = [int(value) for value in cursor.fetchone() or ()]
    metered, settled, usage_at_own_price, usage, undrawn, fees, invoiced, posted, owed = row
    days = {"delivery_date__range": (first, last), "buyer_id": organisation_id}
    contested = ContestedAmount.objects.filter(**days)
    frozen = sum(
        one.unbilled_micros + one.payable_micros + one.fee_micros + one.tax_micros
        for one in contested.filter(settled_at__isnull=True)
    )
    given = [Credit.objects.filter(**days), contested]
    credited = sum(rows.aggregate(total=Sum("paid_micros"))["total"] or 0 for rows in given)
    return Waterfall(
        metered=metered,
        unsettled=metered - settled,
        unrated=settled - usage_at_own_price,
        repriced=usage - usage_at_own_price,
        undrawn=undrawn,
        fees=fees,
        uninvoiced=usage + undrawn + fees - invoiced,
        invoiced=invoiced,
        frozen_micros=frozen,
        credited_micros=credited + _credit_notes(organisation_id, first, last),
        from_wallet_micros=posted - owed,
        owed_micros=owed,
    )


def _credit_notes(organisation_id: UUID, first: date, last: date) -> int:
    """Micro-yuan of the notes on lines of these delivery days."""
    notes = CreditNote.objects.filter(
        organisation_id=organisation_id, lines__line__delivery_date__range=(first, last)
    ).aggregate(total=Sum("lines__amount_fen"))
    return (notes["total"] or 0) * 10_000


def open_rows(organisation_id: UUID, *, first: date, last: date, limit: int = 200) -> list[Open]:
    """What waits between the steps, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, {"buyer": organisation_id, "first": first, "last": last, "limit": limit})
        return [Open(*head, exact=int(exact), since=since) for *head, exact, since in cursor.fetchall()]  # type: ignore[misc]  # seven columns, in order


_OWN = """
own AS (
    SELECT a.id, a.price_micros, a.product_id, p.window_start, l.slug AS line, p.grade
    FROM market_allocation a JOIN market_product p ON p.id = a.product_id JOIN market_modelline l ON l.id = p.line_id
    WHERE a.buyer_id = %(buyer)s
      AND (p.window_start AT TIME ZONE 'Asia/Shanghai')::date BETWEEN %(first)s AND %(last)s
), bucket AS (
    SELECT b.id, b.allocation_id, b.micro_st, b.waiting_since, b.settled_version < b.version AS waits, own.price_micros,
           coalesce((SELECT s.micro_st FROM metering_settled_bucket s WHERE s.bucket_id = b.id
                     ORDER BY s.version DESC LIMIT 1), 0) AS settled
    FROM metering_bucket b JOIN own ON own.id = b.allocation_id WHERE b.meter = 'gateway'
), rated AS (
    SELECT r.*, bucket.price_micros AS own_price FROM billing_ratedline r JOIN own ON own.id = r.allocation_id
    LEFT JOIN bucket ON bucket.id = r.bucket_id WHERE r.live
)
"""

_SUMS = f"""
WITH {_OWN}
SELECT coalesce((SELECT sum(micro_st::numeric * price_micros) FROM bucket), 0),
       coalesce((SELECT sum(settled::numeric * price_micros) FROM bucket), 0),
       coalesce(sum(micro_st::numeric * own_price) FILTER (WHERE bucket_id IS NOT NULL), 0),
       coalesce(sum(exact) FILTER (WHERE bucket_id IS NOT NULL), 0),
       coalesce(sum(exact) FILTER (WHERE source = 'take_or_pay'), 0),
       coalesce(sum(exact) FILTER (WHERE source = 'cancellation'), 0),
       coalesce(sum(exact) FILTER (WHERE invoice_line_id IS NOT NULL), 0),
       coalesce((SELECT sum(posted_micros) FROM billing_allocationposting p JOIN own ON own.id = p.allocation_id), 0),
       coalesce((SELECT sum(owed_micros) FROM billing_allocationposting p JOIN own ON own.id = p.allocation_id), 0)
FROM rated
"""

_OPEN = f"""
WITH {_OWN}
SELECT * FROM (
    SELECT 'unsettled', own.line, own.grade, own.window_start, (b.micro_st - b.settled)::bigint,
           (b.micro_st - b.settled)::numeric * own.price_micros, b.waiting_since AS since
    FROM bucket b JOIN own ON own.id = b.allocation_id WHERE b.waits
    UNION ALL
    SELECT x.reason, min(own.line), min(own.grade), min(own.window_start),
           coalesce(sum(b.settled), 0)::bigint, coalesce(sum(b.settled::numeric * own.price_micros), 0), x.noticed_at
    FROM billing_ratingexception x JOIN own ON own.product_id = x.product_id
    LEFT JOIN bucket b ON b.allocation_id = own.id
    WHERE x.organisation_id = %(buyer)s AND x.resolved_at IS NULL GROUP BY x.id, x.reason, x.noticed_at
    UNION ALL
    SELECT 'uninvoiced', own.line, own.grade, own.window_start, sum(r.micro_st)::bigint, sum(r.exact), min(r.rated_at)
    FROM rated r JOIN own ON own.id = r.allocation_id WHERE r.invoice_line_id IS NULL
    GROUP BY own.line, own.grade, own.window_start
    UNION ALL
    SELECT 'contested', own.line, own.grade, own.window_start, c.micro_st,
           (c.unbilled_micros + c.payable_micros + c.fee_micros + c.tax_micros)::numeric * {EXACT_PER_MICRO}, c.frozen_at
    FROM billing_contestedamount c JOIN own ON own.id = c.allocation_id WHERE c.settled_at IS NULL
) waiting ORDER BY since, 2, 3, 4 LIMIT %(limit)s
"""
