"""Windows that are over: what was bought ahead and not drawn is charged, and every allocation gets its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from market import locks, selectors
from market.kernel.money import MILLION
from market.kernel.obligations import is_promise_broken, price_of_broken_promise, undrawn_micro_st
from market.models import AllocationClose, AllocationUse, Charge, Market
from market.selectors import AllocationView
from market.services import draws

# How long after a window late usage still counts as drawn: the life of a request and of its reservation.
GRACE_SECONDS = 900
BATCH = 1_000


def close_windows(*, now: datetime) -> int:
    """Close the allocations of windows that are over and past their grace; gives how many.

    Safe to run at any time, twice at once too: a market's windows are closed
    by one worker at a time, in order, in batches of their own transactions.
    """
    return sum(
        _close_market(market_id, now) for market_id in Market.objects.order_by("id").values_list("id", flat=True)
    )


def write_charges(charges: Sequence[Charge]) -> None:
    """Store charges; billing sees them in the order of their ids."""
    if charges:
        locks.charges()
        Charge.objects.bulk_create(charges, batch_size=1_000)


def _close_market(market_id: UUID, now: datetime) -> int:
    cutoff = now - timedelta(seconds=int(getattr(settings, "MARKET_CLOSE_GRACE_SECONDS", GRACE_SECONDS)))
    closed = 0
    while True:
        with transaction.atomic():
            closing = locks.closing(market_id)
            if closing is None:
                return closed  # another worker is at it
            end = selectors.next_window_end(market_id, after=closing.closed_until)
            if end is None or end > cutoff:
                return closed
            open_ones = selectors.unclosed(market_id, window_end=end, limit=BATCH)
            done = _close(open_ones, now)
            closed += done
            if done < len(open_ones):
                return closed  # a request still runs on one of them; the next sweep looks again
            if len(open_ones) < BATCH:
                closing.closed_until = end
                closing.save(update_fields=["closed_until"])


def _close(views: Sequence[AllocationView], now: datetime) -> int:
    uses = draws.use_rows(views)
    closes, charges, changed = [], [], []
    for view in views:
        use = uses[view.id]
        if use.reserved_micro_st:
            continue
        cancelled = use.ended_micro_st  # nothing else ends an allocation before its window is over
        undrawn = undrawn_micro_st(
            bought=use.bought_micro_st,
            drawn=use.drawn_micro_st,
            short=use.short_micro_st,
            cancelled=use.cancelled_at is not None,
        )
        closes.append(
            AllocationClose(
                allocation_id=view.id,
                ahead=view.is_ahead,
                bought_micro_st=use.bought_micro_st,
                drawn_micro_st=use.drawn_micro_st,
                short_micro_st=use.short_micro_st,
                cancelled_micro_st=cancelled,
                undrawn_micro_st=undrawn,
                closed_at=now,
            )
        )
        if undrawn:
            use.ended_micro_st += undrawn
            changed.append(use)
            if view.is_ahead:
                charges.append(_take_or_pay(view, undrawn, now))
        if use.drawn_micro_st and is_promise_broken(judged=use.judged, kept=use.kept):
            charges += _promise(view, use.drawn_micro_st, now)
    AllocationClose.objects.bulk_create(closes, batch_size=1_000)
    AllocationUse.objects.bulk_update(changed, ["ended_micro_st"], batch_size=1_000)
    write_charges(charges)
    return len(closes)


def _promise(view: AllocationView, micro_st: int, now: datetime) -> list[Charge]:
    """What everything drawn was paid too much, once the window is known not to have kept its promise."""
    lower = selectors.next_grade_price(view.product_id, least_st=-(-micro_st // MILLION))
    price = view.price_micros - price_of_broken_promise(view.price_micros, lower_grade_micros=lower)
    if not price:
        return []
    return [
        Charge(
            allocation_id=view.id,
            kind=Charge.Kind.PROMISE,
            micro_st=micro_st,
            price_micros=price,
            exact=micro_st * price,
            created_at=now,
        )
    ]


def _take_or_pay(view: AllocationView, micro_st: int, now: datetime) -> Charge:
    return Charge(
        allocation_id=view.id,
        kind=Charge.Kind.TAKE_OR_PAY,
        micro_st=micro_st,
        price_micros=view.price_micros,
        exact=micro_st * view.price_micros,
        created_at=now,
    )
