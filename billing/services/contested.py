"""Money of disputes: frozen when one is opened, given to who is right when it is resolved.

Metering decides; billing moves, because it knows which delivery days are closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, Sum

from billing import locks, selectors
from billing.kernel.contested import Parts, back, parts
from billing.kernel.periods import PeriodKind, market_date, period_from
from billing.kernel.rounding import EXACT_PER_MICRO
from billing.models import AllocationPosting, ContestedAmount, RatedLine
from billing.services.closing import WAIT
from billing.services.invoices import tax_rate_bps
from ledger import selectors as ledger_reads
from ledger import services as ledger
from ledger.services import Leg, TransferDraft
from market import selectors as market
from metering_ingest import selectors as metering
from metering_ingest.selectors import DisputeView

# Where the rest comes from when the seller had less than it would have to give back.
_Amount = tuple[UUID | None, str, int]  # whose, which account, by how much it grows
_Item = TypeVar("_Item")
log = structlog.get_logger(__name__)
_SOURCES = ("payable_held", "payable_available", "collateral")


def move(*, now: datetime) -> int:
    """Freeze what was contested since, and settle what was resolved since; gives how many amounts moved.

    Safe to run twice or at once: each in a transaction of its own, under its row's lock.
    """
    known = set(ContestedAmount.objects.values_list("dispute_id", flat=True))
    moved = _each(_freeze, metering.disputes_wanting_money(known), now)
    waiting = ContestedAmount.objects.filter(settled_at__isnull=True).values_list("dispute_id", flat=True)
    resolved = [one for one in metering.disputes_many(set(waiting)).values() if one.credited_micro_st is not None]
    moved += _each(_settle, sorted(resolved, key=lambda one: one.id), now)
    owed = ContestedAmount.objects.filter(settled_at__isnull=False, paid_micros__lt=F("credited_micros"))
    return moved + _each(_pay_rest, owed.order_by("settled_at").values_list("dispute_id", flat=True), now)


def _each(step: Callable[[_Item, datetime], int], items: Iterable[_Item], now: datetime) -> int:
    """Do a step for each; what the ledger refuses is logged, tried again at the next run, and holds up nobody."""
    done = 0
    for item in items:
        try:
            done += step(item, now)
        except ledger.LedgerError as error:
            log.warning("billing.contested.refused", step=step.__name__, code=error.code, item=str(item))
    return done


def _freeze(dispute: DisputeView, now: datetime) -> int:
    """Take the contested amount out of unbilled, or out of what the seller is held.

    Usage not rated yet waits: an amount is frozen once, so it would stay short. The day's close ends the wait, since
    usage beyond what was bought never is.
    """
    view = market.allocations_many({dispute.allocation_id})[dispute.allocation_id]
    with transaction.atomic():
        (posting,) = locks.postings([view.id]) or (None,)
        if posting is None or ContestedAmount.objects.filter(dispute_id=dispute.id).exists():
            return 0
        exact = dispute.freeze_micro_st * view.price_micros
        contested = exact // EXACT_PER_MICRO
        gross = min(contested, posting.posted_micros - _contested_before(posting))
        day = market_date(view.window_start)
        if gross < contested and now < period_from(PeriodKind.DAY, day).end + WAIT and not _all_rated(view.id):
            return 0
        split = parts(
            gross,
            still_open=posting.open_micros,
            tax_bps=tax_rate_bps(day),
            fee_bps=market.fee_bps(view.currency),
        )
        held_account = ledger.open_account(organisation_id=view.seller_id, kind="payable_held", currency=view.currency)
        held = min(split.payable, max(0, ledger_reads.balance(held_account).available_micros))
        row = ContestedAmount(
            dispute_id=dispute.id,
            allocation_id=view.id,
            buyer_id=view.buyer_id,
            seller_id=view.seller_id,
            delivery_date=day,
            currency=view.currency,
            micro_st=dispute.freeze_micro_st,
            unbilled_micros=split.unbilled,
            payable_micros=split.payable,
            fee_micros=split.fee,
            tax_micros=split.tax,
            held_micros=held,
            frozen_at=now,
        )
        row.save(force_insert=True)
        amounts: list[_Amount] = [(row.buyer_id, "unbilled", -split.unbilled), (row.seller_id, "payable_held", -held)]
        _post(row, "freeze", [*amounts, (row.seller_id, "suspense", split.unbilled + held)], now)
        posting.frozen_micros += split.unbilled
        posting.save(update_fields=["frozen_micros"])
    return 1


def _all_rated(allocation_id: UUID) -> bool:
    """Whether all that was counted of an allocation has its price, be it of another purchase."""
    counted = {one.bucket_id: one.micro_st for one in metering.buckets_of([allocation_id])}
    rated = RatedLine.objects.filter(bucket_id__in=list(counted), live=True).aggregate(total=Sum("micro_st"))["total"]
    return (rated or 0) >= sum(counted.values())


def _contested_before(posting: AllocationPosting) -> int:
    """What other disputes of the allocation have frozen, or given back."""
    rows = ContestedAmount.objects.filter(allocation_id=posting.allocation_id)
    return sum(_parts(row).gross if row.credited_micros is None else row.credited_micros for row in rows)


def _settle(dispute: DisputeView, now: datetime) -> int:
    """Give the buyer what it is due, and the rest back to where it was."""
    with transaction.atomic():
        row = ContestedAmount.objects.select_for_update(of=("self",)).get(dispute_id=dispute.id)
        if row.settled_at is not None:
            return 0
        (posting,) = locks.postings([row.allocation_id])
        due = back(_parts(row), _due(row, dispute, posting))
        of_held = min(due.payable, row.held_micros)
        paid = due.unbilled + of_held + due.fee + due.tax
        amounts: list[_Amount] = [
            (row.seller_id, "suspense", -(row.unbilled_micros + row.held_micros)),
            (None, "fee_revenue", -due.fee),
            (None, "tax_payable", -due.tax),
            (row.buyer_id, "wallet", paid),
            (row.buyer_id, "unbilled", row.unbilled_micros - due.unbilled),
            (row.seller_id, "payable_held", row.held_micros - of_held),
        ]
        _post(row, "settle", amounts, now)
        posting.frozen_micros -= row.unbilled_micros
        posting.credited_micros += due.unbilled
        posting.save(update_fields=["frozen_micros", "credited_micros"])
        row.credited_micros, row.paid_micros, row.settled_at = due.gross, paid, now
        row.save(update_fields=["credited_micros", "paid_micros", "settled_at"])
    return 1


def _due(row: ContestedAmount, dispute: DisputeView, posting: AllocationPosting) -> int:
    """Micro-yuan that the buyer is due: all of the amount where the whole count was wrong, else its exact share."""
    assert dispute.credited_micro_st is not None
    if dispute.credited_micro_st == row.micro_st:
        return _parts(row).gross
    price = market.allocations_many({posting.allocation_id})[posting.allocation_id].price_micros
    return min(_parts(row).gross, dispute.credited_micro_st * price // EXACT_PER_MICRO)


def _pay_rest(dispute_id: UUID, now: datetime) -> int:
    """What the seller did not have when the dispute was settled, as far as it has it now."""
    with transaction.atomic():
        row = ContestedAmount.objects.select_for_update(of=("self",)).get(dispute_id=dispute_id)
        rest = (row.credited_micros or 0) - row.paid_micros
        amounts: list[_Amount] = []
        for kind in _SOURCES:
            account = ledger.open_account(organisation_id=row.seller_id, kind=kind, currency=row.currency)
            most = selectors.earned_from(row.seller_id, row.buyer_id) if kind == "payable_held" else rest
            part = min(rest, most, max(0, ledger_reads.balance(account).available_micros))
            if part > 0:
                amounts.append((row.seller_id, kind, -part))
                rest -= part
        paid = -sum(amount for _, _, amount in amounts)
        if not paid:
            return 0
        _post(row, f"rest-{row.paid_micros}", [*amounts, (row.buyer_id, "wallet", paid)], now)
        row.paid_micros += paid
        row.save(update_fields=["paid_micros"])
    return 1


def _parts(row: ContestedAmount) -> Parts:
    return Parts(row.unbilled_micros, row.payable_micros, row.fee_micros, row.tax_micros)


def _post(row: ContestedAmount, step: str, amounts: Sequence[_Amount], now: datetime) -> None:
    """One transfer of a dispute; every account here grows on its credit side."""
    legs = tuple(
        Leg(
            ledger.open_account(organisation_id=owner, kind=kind, currency=row.currency),
            "credit" if amount > 0 else "debit",
            abs(amount),
        )
        for owner, kind, amount in amounts
        if amount
    )
    if legs:
        key = f"dispute:{row.dispute_id}:{step}"
        ledger.post([TransferDraft(key=key, kind="dispute", legs=legs, currency=row.currency)], now=now)
