"""What sellers owe buyers for shortfalls and broken promises, paid once the seller's day is closed."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from billing import locks, selectors
from billing.kernel.periods import PeriodKind, market_date, period_from
from billing.kernel.rounding import EXACT_PER_MICRO
from billing.models import Credit
from billing.services.closing import WAIT
from ledger import selectors as ledger_reads
from ledger import services as ledger
from ledger.services import Leg, TransferDraft
from market import selectors as market
from market.selectors import AllocationView, ChargeView

# Out of what this buyer's own purchases brought the seller, then out of what is free already, then of the deposit.
HELD, SOURCES = "payable_held", ("payable_available", "collateral")


def pay(*, now: datetime) -> int:
    """Pay what is owed for delivery days that ended at least 24 h ago, as far as the sellers have it; gives how many.

    Runs after the close of the days, so that a seller has what it earned. What it does not have stays owed, and is tried
    again. Each in a transaction of its own, safe to run twice or at once.
    """
    until = period_from(PeriodKind.DAY, market_date(now - WAIT)).start
    charges = market.charges_many(selectors.credits_due(until))
    views = market.allocations_many({charge.allocation_id for charge in charges})
    return sum(_pay(charge, views[charge.allocation_id], now) for charge in charges)


def _pay(charge: ChargeView, view: AllocationView, now: datetime) -> int:
    with transaction.atomic():
        credit = _credit(charge, view, now)
        legs = _legs(credit, credit.owed_micros - credit.paid_micros)
        paid = sum(leg.amount_micros for leg in legs)
        if legs:
            wallet = ledger.open_account(organisation_id=view.buyer_id, kind="wallet", currency=view.currency)
            key = f"credit:{charge.id}:{credit.paid_micros}"
            draft = TransferDraft(
                key=key, kind=charge.kind, legs=(*legs, Leg(wallet, "credit", paid)), currency=view.currency
            )
            ledger.post([draft], now=now)
        credit.paid_micros, credit.paid_at = credit.paid_micros + paid, now
        credit.save(update_fields=["paid_micros", "paid_at"])
    return int(paid > 0)


def _credit(charge: ChargeView, view: AllocationView, now: datetime) -> Credit:
    """The row of a charge, made at the first try, and locked."""
    Credit.objects.bulk_create(
        [
            Credit(
                charge_id=charge.id,
                buyer_id=view.buyer_id,
                seller_id=view.seller_id,
                delivery_date=market_date(view.window_start),
                currency=view.currency,
                owed_micros=charge.exact // EXACT_PER_MICRO,
                paid_micros=0,
                paid_at=now,
            )
        ],
        ignore_conflicts=True,
    )
    return locks.credit(charge.id)


def _legs(credit: Credit, rest: int) -> list[Leg]:
    """Where the money comes from: what others paid is held for them, and serves nobody else."""
    legs = []
    own = selectors.earned_from(credit.seller_id, credit.buyer_id)
    for kind, most in ((HELD, own), *((source, rest) for source in SOURCES)):
        account_id = ledger.open_account(organisation_id=credit.seller_id, kind=kind, currency=credit.currency)
        part = min(rest, most, max(0, ledger_reads.balance(account_id).available_micros))
        if part > 0:
            legs.append(Leg(account_id, "debit", part))
            rest -= part
    return legs
