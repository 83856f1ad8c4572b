"""What an offer meets in the market: today's book, and the rounds of the last seven days. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.kernel.actor import Actor
from market import selectors as market
from market.kernel import windows
from providers import selectors
from providers.kernel import capacity, outlook, pricing
from providers.kernel.drafts import PlanDraft
from providers.kernel.outlook import InBook, Replay
from providers.kernel.schedule import MARKET_CLOCK, Once, Schedule, Weekly, covers
from providers.services.offers import OfferPreview, WindowPreview, preview

REPLAY_SPAN = timedelta(days=7)
_EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class BookView:
    """The open book of one window with the offer's own step in it; `last_price_micros` of the last round that traded."""

    window: WindowPreview
    demand: list[tuple[int, int]]
    own: InBook
    last_price_micros: int | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """An offer's windows, the book of one of them (None where none is covered), and its past."""

    preview: OfferPreview
    book: BookView | None
    replay: Replay


def look(draft: PlanDraft, *, over: str = "", actor: Actor, now: datetime) -> Outlook:
    """What an offer would post, over the book of one of its windows, and its past.

    `over` is that window's start in ISO form; without it, it is the first that has something left to offer.

    :raises Forbidden, NotFound, BadValue: see there.
    """
    found = preview(draft, actor=actor, now=now)
    asked = [window for window in found.windows if window.start.isoformat() == over]
    selling = [window for window in found.windows if window.quantity_st]
    chosen = next(iter([*asked, *selling, *found.windows]), None)
    return Outlook(
        preview=found,
        book=book(draft, chosen, actor=actor, now=now) if chosen else None,
        replay=replay(draft, actor=actor, now=now),
    )


def book(draft: PlanDraft, window: WindowPreview, *, actor: Actor, now: datetime) -> BookView:
    """The open supply and demand of one previewed window, with what the offer adds to it.

    :raises NotFound: there is no such deployment.
    """
    deployment = selectors.deployment_of(draft.deployment_id, actor)
    product = market.product_at(deployment.line, draft.grade, window.start)
    demand, supply = market.book_curve(product, now=now) if product else ([], [])
    own = outlook.in_book(demand, supply, limit_micros=window.limit_micros, quantity_st=window.quantity_st)
    return BookView(window, demand, own, market.quote(product, now=now).last_price_micros if product else None)


def replay(draft: PlanDraft, *, actor: Actor, now: datetime) -> Replay:
    """The offer against the rounds of the last seven days, as if the deployment had had nothing else for sale.

    It looks at all windows that those rounds could trade; for a single window
    it takes the same hour of every day. A window older than the first list
    price takes today's, not the bare floor.

    :raises NotFound: there is no such deployment.
    """
    deployment = selectors.deployment_of(draft.deployment_id, actor)
    terms = market.terms_of(market.the_market().id, draft.grade)
    declared = capacity.declared_rate(deployment.rate_st_per_second, deployment.share_bps)
    rate = capacity.offer_rate(declared, draft.share_bps, [])
    quantity_st = capacity.offered_st(rate, int(windows.WINDOW.total_seconds()), terms.lot_st)
    schedule, since = _of_any_day(draft.schedule), now - REPLAY_SPAN
    listed = selectors.ListPrices(deployment.line, draft.grade)
    start, last = windows.current(since)[0], market.open_windows(now)[-1][0]
    hours = []
    while start <= last:
        if covers(schedule, start):
            list_price = listed.of_window(start) or listed.of_window(start, created_at=now)
            limit = pricing.limit_micros(list_price, draft.discount_bps, draft.floor_micros, terms.tick_micros)
            hours.append(outlook.HourOffer(start, limit, quantity_st))
        start += windows.WINDOW
    starts = [hour.window_start for hour in hours]
    return outlook.replay(hours, selectors.traded(deployment.line, draft.grade, starts, since=since, until=now))


def _of_any_day(schedule: Schedule) -> Schedule:
    """A schedule that the past has hours of."""
    if not isinstance(schedule, Once):
        return schedule
    hour = schedule.window_start.astimezone(MARKET_CLOCK).hour
    return Weekly(_EVERY_DAY, hour, hour + 1)
