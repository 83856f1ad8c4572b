"""Many orders of one request, each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from market import locks, selectors
from market.kernel.errors import MarketHalted
from market.kernel.orders import OrderDraft
from market.selectors import OrderView
from market.services.orders import place_many

_BUSY = 503


def place_each(drafts: Sequence[OrderDraft], *, actor: Actor, now: datetime) -> list[OrderView | DomainError]:
    """Place what can be placed, in order; gives the order or the refusal of each.

    The same as placing them one after the other, a refused one leaving nothing behind.

    :raises MarketHalted, DomainError: the market is halted, or the server busy; nothing was written.
    """
    with transaction.atomic():
        # Taken here, since a savepoint that is rolled back gives up the locks taken in it.
        locks.book_shared(selectors.the_market().id)
        locks.organisations([actor.organisation_id])
        return _place(drafts, actor, now)


def _place(drafts: Sequence[OrderDraft], actor: Actor, now: datetime) -> list[OrderView | DomainError]:
    """A run without a refusal goes in at once; one with a refusal is halved until the refused orders stand alone.

    What is refused of a run depends only on what stands before it, so the halves, in order, come out as single orders
    would.
    """
    if not drafts:
        return []
    try:
        return list(place_many(drafts, actor=actor, now=now))
    except DomainError as error:
        if error.status == _BUSY or isinstance(error, MarketHalted):
            raise  # no order is at fault, and the whole request may be sent again
        if len(drafts) == 1:
            return [error]
    middle = len(drafts) // 2
    return _place(drafts[:middle], actor, now) + _place(drafts[middle:], actor, now)
