"""Every night: what Stripe says it took and gave is read, to stand beside what the ledger says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import transaction

from billing.gateways import stripe_api
from billing.kernel import payments as kernel
from billing.payment_models import ClearingEntry, ClearingMark, Payment, Refund
from billing.services.payments import refunds, settling
from billing.services.payments.errors import Differs

# Stripe's list may lag a little behind its own events. Reading twice changes nothing.
_OVERLAP = timedelta(hours=1)
_FIRST = timedelta(days=365)
_EVERY = timedelta(hours=20)


def read_if_due(*, now: datetime) -> int:
    """Once a night; a beat's tick is only a hint."""
    mark = ClearingMark.objects.filter(id=1).first()
    return read(now=now) if mark is None or now - mark.read_until > _EVERY else 0


def read(*, now: datetime) -> int:
    """Read the balance transactions since the last time; gives how many are new.

    What they show to be undecided or sent back is looked at, so that by the night a lost webhook is cleared.

    :raises NoAnswer: Stripe does not answer; the mark stays.
    """
    if not stripe_api.configured():
        return 0
    mark = ClearingMark.objects.filter(id=1).first()
    since = (mark.read_until if mark else now - _FIRST) - _OVERLAP
    moved = list(stripe_api.money_moved(since=since, until=now + timedelta(seconds=1)))
    known = set(ClearingEntry.objects.filter(id__in=[one.id for one in moved]).values_list("id", flat=True))
    rows = [
        ClearingEntry(
            id=one.id, kind=one.kind, amount_fen=one.amount_fen, fee_fen=one.fee_fen, currency=one.currency,
            source_id=one.source_id, intent_id=one.intent_id, happened_at=datetime.fromtimestamp(one.at, UTC),
        )
        for one in moved
        if one.id not in known
    ]  # fmt: skip
    for row in rows:
        _look(row, now)
    with transaction.atomic():
        ClearingEntry.objects.bulk_create(rows, ignore_conflicts=True)
        ClearingMark.objects.update_or_create(id=1, defaults={"read_until": now})
    return len(rows)


def _look(row: ClearingEntry, now: datetime) -> None:
    try:
        refund = Refund.objects.filter(stripe_id=row.source_id).first()
        if refund is not None and (row.amount_fen > 0 or refund.state != kernel.SETTLED):
            refunds.look(refund.id, now=now)
        payment = Payment.objects.filter(intent_id=row.intent_id).exclude(state=kernel.SETTLED).first()
        if payment is not None and row.intent_id:
            settling.look(payment.id, now=now)
    except (Differs, stripe_api.Refused):
        return  # it stays in the list of differences
