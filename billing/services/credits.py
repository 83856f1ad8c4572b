"""What sellers owe buyers for shortfalls and broken promises, paid once the seller's day is closed."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from billing import selectors
from billing.kernel.periods import PeriodKind, market_date, period_from
from billing.kernel.rounding import EXACT_PER_MICRO
from billing.models import Credit
from billing.services.closing import WAIT
from ledger import selectors as ledger_reads
from ledger import services as ledger
from ledger.services import Leg, TransferDraft
from market import selectors as market
from market.selectors import AllocationView, ChargeView

# Out of what the day brought first, then out of what is free already, then out of what was deposited.
SOURCES = ("payable_held", "payable_available", "collateral")


def pay(*, now: datetime) -> int:
    """Pay every credit of delivery days that ended at least 24 h ago; gives how many.

    Runs after the close of the days, so that a seller has what it earned. What it does not have is not paid: the credit
    says both figures. Each in a transaction of its own, safe to run twice or at once.
    """
    until = period_from(PeriodKind.DAY, market_date(now - WAIT)).start
    due = selectors.credits_due(until)
    for charge in market.charges_many(due):
        with transaction.atomic():
            _pay(charge, market.allocation(charge.allocation_id), now)
    return len(due)


def _pay(charge: ChargeView, view: AllocationView, now: datetime) -> None:
    owed = charge.exact // EXACT_PER_MICRO
    legs, rest = [], owed
    for kind in SOURCES:
        account_id = ledger.open_account(organisation_id=view.seller_id, kind=kind, currency=view.currency)
        part = min(rest, max(0, ledger_reads.balance(account_id).available_micros))
        rest -= part
        if part:
            legs.append(Leg(account_id, "debit", part))
    Credit.objects.create(
        charge_id=charge.id,
        buyer_id=view.buyer_id,
        seller_id=view.seller_id,
        delivery_date=market_date(view.window_start),
        currency=view.currency,
        owed_micros=owed,
        paid_micros=owed - rest,
        paid_at=now,
    )
    if legs:
        wallet = ledger.open_account(organisation_id=view.buyer_id, kind="wallet", currency=view.currency)
        draft = TransferDraft(
            key=f"credit:{charge.id}", kind=charge.kind, legs=(*legs, Leg(wallet, "credit", owed - rest)),
            currency=view.currency,
        )  # fmt: skip
        ledger.post([draft], now=now)
