"""Giving up what was bought, before its window opens: a fee to the seller, the rest of the hold free again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.services import audit
from ledger import services as ledger
from ledger.services import HoldChange
from market import locks, selectors
from market.kernel import windows
from market.kernel.errors import NotFound, WindowOpen
from market.kernel.freezing import due_micro_st_per_second
from market.kernel.money import MILLION
from market.kernel.obligations import EXACT_PER_MICRO, cancellation_fee_micros
from market.models import AllocationUse, Charge
from market.selectors import AllocationView
from market.services import draws, obligations


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What giving up an allocation costs, and what becomes free of its hold; micro-yuan."""

    allocation: AllocationView
    fee_micros: int
    released_micros: int


def preview(allocation_id: UUID, *, actor: Actor, now: datetime) -> Cancellation:
    """What `cancel` would do now; nothing is written.

    :raises NotFound: nothing that the actor's organisation bought.
    :raises WindowOpen: the window has opened, and what is bought is bought.
    """
    view = _bought(allocation_id, actor)
    if not view.cancelled_at:
        _check_before(view, now)
    return _figures(view)


def cancel(allocation_id: UUID, *, actor: Actor, now: datetime) -> Cancellation:
    """Give an allocation up as a whole; a repeat gives the same answer.

    The fee stays held until billing takes it; what was sold of the supply may be sold again.

    :raises NotFound: nothing that the actor's organisation bought.
    :raises WindowOpen: the window has opened, and what is bought is bought.
    """
    view = _bought(allocation_id, actor)
    with transaction.atomic():
        use = draws.use_rows([view])[view.id]
        if not use.cancelled_at:
            _check_before(view, now)
            if use.left_micro_st != use.bought_micro_st:
                raise WindowOpen("This allocation is drawn on, or closed already.")
            _cancel(view, use, actor, now)
    return _figures(selectors.allocation(allocation_id))


def _bought(allocation_id: UUID, actor: Actor) -> AllocationView:
    view = selectors.allocation(allocation_id)
    if view.buyer_id != actor.organisation_id:
        raise NotFound("There is no such allocation.")
    return view


def _check_before(view: AllocationView, now: datetime) -> None:
    if now >= view.window_start:
        raise WindowOpen("The window has opened: what is bought is bought.", window_start=view.window_start.isoformat())


def _figures(view: AllocationView) -> Cancellation:
    """As it was charged, else as it would be."""
    fee = selectors.cancellation_fee(view.id)
    if fee is None:
        fee = cancellation_fee_micros(view.cost_micros, fee_bps=selectors.cancel_fee_bps(view.currency))
    return Cancellation(view, fee, view.cost_micros - fee)


def _cancel(view: AllocationView, use: AllocationUse, actor: Actor, now: datetime) -> None:
    """Supply first, then the account, then the charge: the order in which a round locks them."""
    figures = _figures(view)
    _give_back(view)
    if figures.released_micros:
        key = f"cancel:{view.id}"
        ledger.change_holds([HoldChange(key, view.hold_id, "release", figures.released_micros)], now=now)
    use.cancelled_at = now
    use.ended_micro_st = use.bought_micro_st
    use.save(update_fields=["cancelled_at", "ended_micro_st"])
    subject = ids.encode("alc", view.id)
    audit.record(
        actor=actor, action="allocation.cancelled", subject=subject, detail={"fee_micros": figures.fee_micros}, now=now
    )
    bps = selectors.cancel_fee_bps(view.currency)
    fee = Charge(
        allocation_id=view.id,
        kind=Charge.Kind.CANCELLATION,
        micro_st=view.quantity_st * MILLION,
        price_micros=cancellation_fee_micros(view.price_micros, fee_bps=bps),
        exact=figures.fee_micros * EXACT_PER_MICRO,
        created_at=now,
    )
    obligations.write_charges([fee])


def _give_back(view: AllocationView) -> None:
    """Take the quantity out of what its supply has sold, and the rate that the sale took of it.

    A round rounds the rate up once for all that it sold of a supply, so what
    is given back is the difference that this allocation makes to its round.
    """
    supply_id = selectors.supply_of_order(view.sell_order_id)
    locks.supplies([supply_id])
    sold = selectors.sold_in_round(supply_id, view)
    seconds = max(1, windows.seconds_left(view.window_start, view.created_at))
    due = due_micro_st_per_second(sold, seconds=seconds) - due_micro_st_per_second(
        sold - view.quantity_st, seconds=seconds
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE market_supply SET sold_st = sold_st - %s, due_micro_st_per_second = due_micro_st_per_second - %s "
            "WHERE id = %s",
            [view.quantity_st, due, supply_id],
        )
