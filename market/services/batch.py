"""Many orders of one request, each on its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from ledger.services import InsufficientFunds
from market import locks, selectors
from market.kernel import orders as rules
from market.kernel.errors import MarketHalted, NotTried
from market.kernel.money import cost_micros
from market.kernel.orders import OrderDraft, Terms
from market.selectors import OrderView, Quote
from market.services.orders import check_collar, place_many

# Rounds wait for intake, so a batch of slips may not hold them up: after this, what is left is not tried.
SECONDS = 2.0
_BUSY = 503

Result = OrderView | DomainError


def place_each(drafts: Sequence[OrderDraft], *, actor: Actor, now: datetime) -> list[Result]:
    """Place what can be placed, in order; gives the order or the refusal of each.

    The same as placing them one after the other, a refused one leaving nothing behind.

    :raises MarketHalted, DomainError: the market is halted, or the server busy; nothing was written.
    """
    with transaction.atomic():
        # Taken here, since a savepoint that is rolled back gives up the locks taken in it.
        locks.intake(selectors.market_id())
        locks.organisations([actor.organisation_id])
        screen = _Screen(actor, now, _used_twice(drafts, actor))
        known = [screen.refusal(draft) for draft in drafts]
        rest = [draft for draft, error in zip(drafts, known, strict=True) if error is None]
        tried = iter(_Tries(actor, now, time.monotonic() + SECONDS).place(rest))
        return [next(tried) if error is None else error for error in known]


def _used_twice(drafts: Sequence[OrderDraft], actor: Actor) -> set[str]:
    """Client order ids that more than one order has, earlier orders included."""
    count = Counter(draft.client_order_id for draft in drafts if draft.client_order_id is not None)
    earlier = selectors.by_client_id(actor.organisation_id, list(count)) if count else {}
    return {name for name, times in count.items() if times > 1 or name in earlier}


@dataclass
class _Screen:
    """Refusals that one reading tells for many orders; what passes is tried, and looked at again."""

    actor: Actor
    now: datetime
    used_twice: set[str]
    known: dict[tuple[str, str, datetime], tuple[Terms, Quote | None] | DomainError] = field(default_factory=dict)

    def refusal(self, draft: OrderDraft) -> DomainError | None:
        if draft.is_flexible or draft.client_order_id in self.used_twice:
            return None  # what else is wrong with it comes before the rules
        try:
            rules.check_window(draft.window_start, self.now)
            terms, quote = self._of(draft)
            rules.check_draft(draft, terms, now=self.now)
            if quote is not None:
                check_collar(draft, quote)
        except DomainError as error:
            return error
        return None

    def _of(self, draft: OrderDraft) -> tuple[Terms, Quote | None]:
        key = (draft.line, draft.grade, draft.window_start)
        if key not in self.known:
            try:
                self.known[key] = self._read(*key)
            except DomainError as error:
                self.known[key] = error
        found = self.known[key]
        if isinstance(found, DomainError):
            raise found
        return found

    def _read(self, line: str, grade: str, window_start: datetime) -> tuple[Terms, Quote | None]:
        selectors.line_for(line, self.actor.organisation_id)
        terms = selectors.terms_of(selectors.market_id(), grade)
        product = selectors.product_at(line, grade, window_start)
        return terms, selectors.quote(product, now=self.now) if product else None


@dataclass
class _Tries:
    """Orders tried in runs; a run is placed as a whole, or its refused orders are found."""

    actor: Actor
    now: datetime
    until: float

    def place(self, drafts: Sequence[OrderDraft]) -> list[Result]:
        """A run without a refusal goes in at once; one with a refusal is halved until the refused orders stand alone.

        What is refused of a run depends only on what stands before it, so the halves, in order, come out as single
        orders would.
        """
        if not drafts:
            return []
        if time.monotonic() > self.until:
            return [NotTried("The batch took too long; send this order again.") for _ in drafts]
        found = self._try(drafts)
        if not isinstance(found, DomainError):
            return list(found)
        if len(drafts) == 1:
            return [found]
        # Who sells too may bid into an own offer, which is told before the money.
        poor = isinstance(found, InsufficientFunds) and not self.actor.is_provider
        if poor and (placed := self._affordable(drafts, found)):
            return placed
        middle = len(drafts) // 2
        return self.place(drafts[:middle]) + self.place(drafts[middle:])

    def _try(self, drafts: Sequence[OrderDraft]) -> list[OrderView] | DomainError:
        try:
            return place_many(drafts, actor=self.actor, now=self.now)
        except DomainError as error:
            if error.status == _BUSY or isinstance(error, MarketHalted):
                raise  # no order is at fault, and the whole request may be sent again
            return error

    def _affordable(self, drafts: Sequence[OrderDraft], error: DomainError) -> list[Result] | None:
        """The run without what the wallet does not cover, taken in order; None where that is not all of it."""
        left = error.details.get("available_micros", 0)
        names = [draft.client_order_id for draft in drafts if draft.client_order_id is not None]
        repeats = selectors.by_client_id(self.actor.organisation_id, names)
        refused: dict[int, Result] = {}
        for at, draft in enumerate(drafts):
            cost = 0 if draft.client_order_id in repeats else cost_micros(draft.limit_micros, draft.quantity_st)
            if cost <= left:
                left -= cost
            else:
                details = {**error.details, "available_micros": left, "needed_micros": cost}
                refused[at] = InsufficientFunds(str(error), **details)
        rest = [draft for at, draft in enumerate(drafts) if at not in refused]
        found = self._try(rest) if refused and rest else []
        if not refused or isinstance(found, DomainError):
            return None
        placed = iter(found)
        return [refused[at] if at in refused else next(placed) for at in range(len(drafts))]
