"""The provider side: a delivery day that ended a day ago becomes payable, fee and tax."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import transaction

from billing import locks, selectors
from billing.kernel.contested import parts
from billing.kernel.periods import PeriodKind, period_from
from billing.models import AllocationPosting, DayClose
from billing.services.invoices import tax_rate_bps
from ledger import services as ledger
from ledger.services import Leg, TransferDraft
from market import selectors as market

WAIT = timedelta(hours=24)


def close_days(*, now: datetime) -> int:
    """Close every provider's delivery day that ended at least 24 h ago; gives how many closes were made."""
    made = 0
    for seller_id, day in selectors.days_to_close():
        if period_from(PeriodKind.DAY, day).end + WAIT <= now:
            with transaction.atomic():
                made += _close(seller_id, day, now)
    return made


def _close(seller_id: UUID, day: date, now: datetime) -> int:
    """Split what was posted since the last close of the day. Tax and fee are rounded once; the provider has the rest.

    What is contested waits in suspense for the end of its dispute.
    """
    rows = [row for row in locks.postings_to_close(seller_id, day) if row.open_micros > 0]
    if not rows:
        return 0
    currency = rows[0].currency
    assert {row.currency for row in rows} == {currency}, "one market, one currency"
    gross = sum(row.open_micros for row in rows)
    split = parts(gross, still_open=0, tax_bps=tax_rate_bps(day), fee_bps=market.fee_bps(currency))
    part = DayClose.objects.filter(seller_id=seller_id, delivery_date=day, currency=currency).count() + 1
    close = DayClose(
        seller_id=seller_id,
        delivery_date=day,
        part=part,
        currency=currency,
        gross_micros=gross,
        tax_micros=split.tax,
        fee_micros=split.fee,
        payable_micros=split.payable,
        closed_at=now,
    )
    close.save(force_insert=True)
    ledger.post([_draft(close, rows)], now=now)
    for row in rows:
        row.closed_micros += row.open_micros
    AllocationPosting.objects.bulk_update(rows, ["closed_micros"], batch_size=1_000)
    return 1


def _draft(close: DayClose, rows: list[AllocationPosting]) -> TransferDraft:
    by_buyer: dict[UUID, int] = {}
    for row in rows:
        by_buyer[row.organisation_id] = by_buyer.get(row.organisation_id, 0) + row.open_micros
    debits = [
        Leg(ledger.open_account(organisation_id=buyer, kind="unbilled", currency=close.currency), "debit", amount)
        for buyer, amount in sorted(by_buyer.items())
    ]
    to = {
        (close.seller_id, "payable_held"): close.payable_micros,
        (None, "fee_revenue"): close.fee_micros,
        (None, "tax_payable"): close.tax_micros,
    }
    credits = [
        Leg(ledger.open_account(organisation_id=owner, kind=kind, currency=close.currency), "credit", amount)
        for (owner, kind), amount in to.items()
        if amount
    ]
    key = f"day:{close.seller_id}:{close.delivery_date}:{close.part}"
    return TransferDraft(key=key, kind="day_close", legs=(*debits, *credits), currency=close.currency)
