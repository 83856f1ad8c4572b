"""What was asked for at the due rate and not delivered: made good by its seller, and bought again in the next round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction

from ledger import selectors as ledger_reads
from ledger import services as ledger
from ledger.services import HoldChange, InsufficientFunds
from market import locks, selectors
from market.kernel.errors import MarketError
from market.kernel.money import MILLION
from market.kernel.obligations import BPS, EXACT_PER_MICRO, shortfall_micro_st
from market.kernel.orders import OrderDraft, Scope
from market.models import AllocationUse, BuyBack, Charge
from market.selectors import AllocationView
from market.services import draws, obligations, orders

log = structlog.get_logger(__name__)
_MICRO = timedelta(microseconds=1)


def record(allocation_id: UUID, *, request_id: str, micro_st: int, now: datetime) -> int:
    """A request whose reservation was given back was delivered by nobody, by the seller's fault; gives the micro-ST due.

    What was due leaves the allocation and its hold: it is not paid. Its seller owes the buyer the market's share of its
    price, which billing settles with the seller's day. The same request counts once.
    """
    with transaction.atomic():
        view = selectors.allocation(allocation_id)
        locks.organisations([view.buyer_id])
        use = draws.use_rows([view])[view.id]
        if now >= view.window_end or Charge.objects.filter(kind=Charge.Kind.SHORTFALL, request_id=request_id).exists():
            return 0
        short = _due(view, use, micro_st, now)
        if short:
            _give_back(view, use, short, request_id, now)
    return short


def _due(view: AllocationView, use: AllocationUse, asked: int, now: datetime) -> int:
    begins = max(view.window_start, view.created_at)
    return shortfall_micro_st(
        asked,
        bought=use.bought_micro_st - use.ended_micro_st,
        drawn=use.drawn_micro_st,
        short=use.short_micro_st,
        reserved=use.reserved_micro_st,
        elapsed=max(0, (now - begins) // _MICRO),
        whole=(view.window_end - begins) // _MICRO,
    )


def _give_back(view: AllocationView, use: AllocationUse, short: int, request_id: str, now: datetime) -> None:
    """Out of the hold and the allocation, into what the seller owes."""
    before, after = (
        quantity * view.price_micros // EXACT_PER_MICRO for quantity in (use.short_micro_st, use.short_micro_st + short)
    )
    # Usage of other allocations may have been paid from this one's hold already.
    free = min(after - before, ledger_reads.hold_rests([view.hold_id]).get(view.hold_id, 0))
    if free > 0:
        change = HoldChange(f"short:{view.id}:{request_id}", view.hold_id, "release", free)
        ledger.change_holds([change], now=now)
    use.short_micro_st += short
    use.save(update_fields=["short_micro_st"])
    price = view.price_micros * selectors.shortfall_bps(view.currency) // BPS
    credit = Charge(
        allocation_id=view.id, kind=Charge.Kind.SHORTFALL, request_id=request_id, micro_st=short, price_micros=price,
        exact=short * price, created_at=now,
    )  # fmt: skip
    obligations.write_charges([credit])


def buy_back(market_id: UUID, *, now: datetime) -> int:
    """Bid once more for what fell short since the last round, in its buyer's name; gives how many bids were placed.

    At no more than what was paid for it, for the next round only. What is bought in a running hour is paid only as far
    as it is drawn, so whole lots cost nobody anything.
    """
    groups: dict[tuple[UUID, UUID, Scope], list[tuple[int, AllocationView, int]]] = defaultdict(list)
    charges = selectors.shortfalls_to_buy(market_id, now=now)
    views = selectors.allocations_many({charge.allocation_id for charge in charges})
    asked = selectors.orders_many({view.buy_order_id for view in views.values()}) if views else {}
    for charge in charges:
        view = views[charge.allocation_id]
        scope = replace(asked[view.buy_order_id].scope, minimum_st=0)  # where it may go, not how much at least
        groups[view.buyer_id, view.product_id, scope].append((charge.id, view, charge.micro_st))
    return sum(_bid(group, scope, now) for (_, _, scope), group in groups.items())


def _bid(group: Sequence[tuple[int, AllocationView, int]], scope: Scope, now: datetime) -> int:
    view = group[0][1]
    lot = selectors.product(view.product_id, view.buyer_id).lot_st
    lots = -(-sum(micro_st for _, _, micro_st in group) // (lot * MILLION))
    draft = OrderDraft(
        view.buyer_id, "buy", view.line, view.grade, view.window_start, lots * lot,
        min(one.price_micros for _, one, _ in group), "ioc", scope=scope,
    )  # fmt: skip
    with transaction.atomic():
        placed = _place(draft, now)
        BuyBack.objects.bulk_create(
            [BuyBack(charge_id=charge_id, order_id=placed, created_at=now) for charge_id, _, _ in group]
        )
    return int(placed is not None)


def _place(draft: OrderDraft, now: datetime) -> UUID | None:
    try:
        with transaction.atomic():
            return orders.place(draft, actor=None, now=now).id
    except (MarketError, InsufficientFunds) as error:
        log.warning("market.shortfall.not_bought", buyer=str(draft.organisation_id), code=error.code)
        return None
