"""Changes of open orders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.services import audit
from ledger import services as ledger
from ledger.kernel.holds import Action
from ledger.services import HoldChange
from market import locks, selectors
from market.kernel import amending as kernel
from market.kernel import orders as rules
from market.kernel.amending import Asked, Change
from market.kernel.errors import NotAmendable, OrderEnded, RoundRunning, SelfTrade
from market.kernel.orders import OrderDraft
from market.models import Amendment, Market
from market.selectors import MarketState, OrderView
from market.services import faults, halts
from market.services.orders import check_collar, check_open, market_to_change_orders

LONGEST_WAIT_SECONDS = 5.0
_PAUSE_SECONDS = 0.02


def amend(order_id: UUID, change: Change, *, actor: Actor, now: datetime) -> OrderView:
    """Change price, quantity or expiry of an open bid, with its hold; the rules of a new order count.

    A round that is being cleared is waited for. A new price or a larger quantity makes the order as young as a new one.

    :raises NotFound: not an order of the actor's organisation.
    :raises OrderEnded, NotAmendable, BelowFilled, MarketError: see market/kernel/errors.py; nothing was written.
    :raises ledger.services.InsufficientFunds: the wallet does not cover the new worst case.
    """
    view = selectors.order(order_id, actor)
    with _still(selectors.market_id(view.currency)) as market:
        locks.organisations([actor.organisation_id])
        row = locks.book_row(order_id)
        view = selectors.order(order_id, actor)
        if row is None or row.ending or row.expires_at <= now:
            status = "expired" if row and not row.ending else view.status
            raise OrderEnded(f"This order is not open any more: it is {status}.", status=status)
        if view.side == "sell":
            raise NotAmendable("This order belongs to an offer; change the offer.")
        if view.is_flexible:
            raise NotAmendable("A flexible bid is cancelled and placed again.")
        faults.check([view.product_id])
        check_open(market)
        halts.check(organisation_ids={view.organisation_id}, lines={view.line}, now=now)
        after = _checked(view, change, now)
        if after != view.asked:
            _write(view, after, open_round=market.collecting, actor=actor, now=now)
        return selectors.order(order_id, actor)


@contextmanager
def _still(market_id: UUID) -> Iterator[MarketState]:
    """A transaction in which no round is being cleared, since what one froze may not change before it is written.

    :raises RoundRunning: the round took longer than anybody would wait.
    """
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        try:
            with transaction.atomic():  # rolled back, it gives its lock up
                market = market_to_change_orders(market_id)
                if market.is_clearing and market.state == Market.State.OPEN:
                    raise RoundRunning("A round is being cleared; ask again when it is over.")
                yield market
            return
        except RoundRunning:
            if time.monotonic() > until:
                raise
        time.sleep(_PAUSE_SECONDS)


def _checked(view: OrderView, change: Change, now: datetime) -> Asked:
    """What the order asks afterwards, where the rules allow it."""
    wanted = change.of(view.asked)
    good_till_time = view.time_in_force == "gtt"
    draft = OrderDraft(
        organisation_id=view.organisation_id,
        side="buy",
        line=view.line,
        grade=view.grade,
        window_start=view.window_start,
        quantity_st=wanted.quantity_st,
        limit_micros=wanted.limit_micros,
        time_in_force="gtt" if good_till_time else "gtc",
        expires_at=wanted.expires_at if good_till_time else change.expires_at,
    )
    product = selectors.product(view.product_id, view.organisation_id)
    rules.check_draft(draft, product.terms, now=now)
    after = Asked(wanted.quantity_st, wanted.limit_micros, rules.expires_at(draft))
    kernel.check_filled(after, filled_st=view.filled_st)
    if not kernel.keeps_cohort(view.asked, after):
        check_collar(draft, selectors.quote(product, now=now))
        _, offer = selectors.best_opposites([view.organisation_id], [product.id])[view.organisation_id, product.id]
        if offer is not None and after.limit_micros >= offer:
            raise SelfTrade("This order would trade with an open order of your own organisation.")
    return after


def _write(view: OrderView, after: Asked, *, open_round: int, actor: Actor, now: datetime) -> None:
    """One row, which a trigger puts into the book, and the hold to match."""
    row = Amendment.objects.create(
        order_id=view.id,
        round_number=open_round,
        quantity_st=after.quantity_st,
        limit_micros=after.limit_micros,
        expires_at=after.expires_at,
        cohort=view.cohort if kernel.keeps_cohort(view.asked, after) else open_round,
        amended_by=actor.user_id or actor.key_id,
        created_at=now,
    )
    more = kernel.hold_change(view.asked, after, filled_st=view.filled_st)
    if more:
        assert view.hold_id is not None, "a bid has a hold"
        action: Action = "increase" if more > 0 else "decrease"
        ledger.change_holds([HoldChange(f"amend:{row.id}", view.hold_id, action, abs(more))], now=now)
    detail = {"quantity_st": str(after.quantity_st), "limit_micros": str(after.limit_micros)}
    subject = ids.encode("ord", view.id)
    audit.record(actor=actor, action="order.amended", subject=subject, detail=detail, now=now)
