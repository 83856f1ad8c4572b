"""Offers: plans that become sell orders, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.services import audit
from market import selectors as market
from market import services as trading
from market.kernel.errors import MarketHalted, OrderEnded
from market.kernel.orders import CellTerms, OrderDraft, SupplyDraft, Terms
from providers import locks, selectors
from providers.kernel import capacity, days, pricing
from providers.kernel.drafts import PlanDraft, check_plan
from providers.kernel.errors import BadValue, NotFound, ProviderError, WrongState
from providers.kernel.schedule import MARKET_CLOCK, Once, Schedule, Weekly, covers, mask
from providers.models import Deployment, OfferPlan, PostedOffer
from providers.services import rights

log = structlog.get_logger(__name__)
NO_CAPACITY = "no_capacity"


@dataclass(frozen=True, slots=True)
class WindowPreview:
    """One window of an offer: what would be posted. Prices in micro-yuan per million ST, quantities in ST.

    `day` is the kind of the day on which the window lies, on the market clock.
    """

    start: datetime
    end: datetime
    list_price_micros: int | None
    limit_micros: int
    quantity_st: int
    capacity_st: int
    day: days.Day


@dataclass(frozen=True, slots=True)
class OfferPreview:
    """What an offer would post in the windows that are open now."""

    windows: tuple[WindowPreview, ...]

    @property
    def quantity_st(self) -> int:
        """ST in all of these windows."""
        return sum(window.quantity_st for window in self.windows)

    @property
    def least_micros(self) -> int:
        """Micro-yuan if all of it sold at its limit."""
        return sum(window.quantity_st * window.limit_micros for window in self.windows) // 10**6


def preview(draft: PlanDraft, *, actor: Actor, now: datetime) -> OfferPreview:
    """What an offer would post now, window by window; nothing is written.

    :raises Forbidden, NotFound, BadValue: see there.
    """
    terms = _check(draft, actor, now)
    deployment = selectors.deployment_of(draft.deployment_id, actor)
    opened = [(start, end) for start, end in market.open_windows(now) if covers(draft.schedule, start)]
    taken = selectors.rates_taken(deployment.id, [start for start, _ in opened])
    declared = capacity.declared_rate(deployment.rate_st_per_second, deployment.share_bps)
    list_prices = selectors.ListPrices(deployment.line, draft.grade)
    windows = []
    for start, end in opened:
        seconds = capacity.seconds_left(now, start, end)
        rate = capacity.offer_rate(declared, draft.share_bps, [taken.get(start, 0)])
        listed = list_prices.of_window(start, created_at=now)
        windows.append(
            WindowPreview(
                start=start,
                end=end,
                list_price_micros=listed,
                limit_micros=pricing.limit_micros(listed, draft.discount_bps, draft.floor_micros, terms.tick_micros),
                quantity_st=capacity.offered_st(rate, seconds, terms.lot_st),
                capacity_st=capacity.offered_st(declared, seconds, terms.lot_st),
                day=days.day_of(start.astimezone(MARKET_CLOCK).date()),
            )
        )
    return OfferPreview(tuple(windows))


def create(draft: PlanDraft, *, actor: Actor, now: datetime) -> UUID:
    """Save an offer as a draft; gives its id. Nothing is sold before it is posted.

    :raises Forbidden, NotFound, BadValue, WrongState: see there.
    """
    _check(draft, actor, now)
    with transaction.atomic():
        plan = OfferPlan.objects.create(
            organisation_id=actor.organisation_id,
            deployment_id=draft.deployment_id,
            grade=draft.grade,
            **_stored(draft.schedule),
            discount_bps=draft.discount_bps,
            floor_micros=draft.floor_micros,
            share_bps=draft.share_bps,
            created_by=actor.user_id or actor.key_id,
            created_at=now,
        )
        _audit(actor, "offer.created", plan.id, now)
    return plan.id


def post(plan_id: UUID, *, actor: Actor, now: datetime) -> int:
    """Make a draft or paused offer live, and post its open windows at once; gives how many were posted.

    :raises Forbidden, NotFound, WrongState: see there.
    """
    may = {OfferPlan.State.DRAFT, OfferPlan.State.PAUSED}
    _change(plan_id, OfferPlan.State.LIVE, allowed=may, action="offer.posted", actor=actor, now=now)
    return _post_plan(plan_id, now=now)


def pause(plan_id: UUID, *, actor: Actor, now: datetime) -> int:
    """Take an offer's open orders out of the book until it is posted again; gives how many.

    What was sold stays sold.

    :raises Forbidden, NotFound, WrongState: see there.
    """
    with transaction.atomic():
        may = {OfferPlan.State.LIVE}
        _change(plan_id, OfferPlan.State.PAUSED, allowed=may, action="offer.paused", actor=actor, now=now)
        return _take_back(plan_id, actor=actor, now=now)


def withdraw(plan_id: UUID, *, actor: Actor, now: datetime) -> int:
    """End an offer for good and take its open orders out of the book; gives how many. Doing it again changes nothing.

    :raises Forbidden, NotFound: see there.
    """
    with transaction.atomic():
        may = set(OfferPlan.State)
        _change(plan_id, OfferPlan.State.WITHDRAWN, allowed=may, action="offer.withdrawn", actor=actor, now=now)
        return _take_back(plan_id, actor=actor, now=now)


def post_due(*, now: datetime, limit: int = 500) -> int:
    """Post the windows that live offers cover and that have no order yet; gives how many.

    Safe to run twice, or two at once. What the market refuses is noted on its
    offer and tried again at the next run.
    """
    posted = 0
    live = OfferPlan.objects.filter(state=OfferPlan.State.LIVE, deployment__state=Deployment.State.ACTIVE)
    for plan_id in live.order_by("id").values_list("id", flat=True):
        posted += _post_plan(plan_id, now=now)
        if posted >= limit:
            break
    return posted


def _check(draft: PlanDraft, actor: Actor, now: datetime) -> Terms:
    rights.check(actor)
    deployment = selectors.deployment_of(draft.deployment_id, actor)
    if deployment.state != Deployment.State.ACTIVE:
        raise WrongState("This deployment is retired.", field="deployment")
    grades = market.grades(market.the_market().id)
    if draft.grade not in grades:
        raise BadValue(f"The grade is one of {', '.join(grades)}.", field="grade")
    check_plan(draft, tick_micros=grades[draft.grade].tick_micros)
    if isinstance(draft.schedule, Once):
        opened = [start for start, _ in market.open_windows(now)]
        if draft.schedule.window_start not in opened:
            raise BadValue("Choose one of the windows that are open for trading.", field="window_start")
    return grades[draft.grade]


def _stored(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the fields of its row."""
    if isinstance(schedule, Once):
        return {"kind": OfferPlan.Kind.ONCE, "window_start": schedule.window_start}
    if isinstance(schedule, Weekly):
        return {
            "kind": OfferPlan.Kind.WEEKLY,
            "weekdays": mask(schedule.weekdays),
            "from_hour": schedule.from_hour,
            "to_hour": schedule.to_hour,
        }
    fields: dict[str, Any] = {"kind": OfferPlan.Kind.CALENDAR}
    for name, hours in (("workday", schedule.workday), ("restday", schedule.restday)):
        if hours:
            fields |= {f"{name}_from_hour": hours.from_hour, f"{name}_to_hour": hours.to_hour}
    return fields


def _change(
    plan_id: UUID, state: OfferPlan.State, *, allowed: set[OfferPlan.State], action: str, actor: Actor, now: datetime
) -> None:
    rights.check(actor)
    own = OfferPlan.objects.filter(id=plan_id, organisation_id=actor.organisation_id)
    if not own.exists():
        raise NotFound("There is no such offer.")
    with transaction.atomic():
        plan = locks.plan(plan_id)
        if plan.state == state:
            return
        if plan.state not in allowed:
            raise WrongState(f"This offer is {plan.state}.", state=plan.state)
        own.update(state=state, problem="")
        _audit(actor, action, plan_id, now)


def _post_plan(plan_id: UUID, *, now: datetime) -> int:
    plan = OfferPlan.objects.select_related("deployment__pool", "deployment__line").get(id=plan_id)
    schedule = selectors.schedule_of(plan)
    standing = plan.posted.filter(state=PostedOffer.State.OPEN, window_end__gt=now)
    done = set(standing.values_list("window_start", flat=True))
    due = [window for window in market.open_windows(now) if window[0] not in done and covers(schedule, window[0])]
    posted, problem = 0, plan.problem if not due else ""
    for start, end in due:
        try:
            posted += _post_window(plan, start, end, now=now)
        except MarketHalted as error:
            problem = error.code
            break
        except (ProviderError, trading.MarketError) as error:
            problem = error.code
            log.info("providers.offer.refused", plan_id=str(plan_id), window=start.isoformat(), code=error.code)
    if problem != plan.problem:
        OfferPlan.objects.filter(id=plan_id).update(problem=problem)
    return posted


class _NoCapacity(ProviderError):
    """Other offers have taken what the deployment can do in this window."""

    code = NO_CAPACITY


def _post_window(plan: OfferPlan, start: datetime, end: datetime, *, now: datetime) -> int:
    """Declare the capacity and place the order; both or neither. 0 where another worker was faster."""
    with transaction.atomic():
        deployment = locks.deployment(plan.deployment_id)
        locked = locks.plan(plan.id)
        if locked.state != OfferPlan.State.LIVE or deployment.state != Deployment.State.ACTIVE:
            return 0
        if plan.posted.filter(window_start=start, state=PostedOffer.State.OPEN).exists():
            return 0
        terms = market.grades(market.the_market().id)[plan.grade]
        declared = capacity.declared_rate(deployment.rate_st_per_second, deployment.share_bps)
        taken = selectors.rates_taken(deployment.id, [start]).get(start, 0)
        rate = capacity.offer_rate(declared, plan.share_bps, [taken])
        quantity_st = capacity.offered_st(rate, capacity.seconds_left(now, start, end), terms.lot_st)
        if quantity_st == 0:
            raise _NoCapacity("Other offers take what this deployment can do in this window.")
        list_prices = selectors.ListPrices(deployment.line.slug, plan.grade)
        listed = list_prices.of_window(start, created_at=plan.created_at)
        limit_micros = pricing.limit_micros(listed, plan.discount_bps, plan.floor_micros, terms.tick_micros)
        posted = PostedOffer(
            plan=plan,
            deployment=deployment,
            window_start=start,
            window_end=end,
            quantity_st=quantity_st,
            limit_micros=limit_micros,
            list_price_micros=listed,
            rate_st_per_second=rate,
            posted_at=now,
        )
        posted.order_id = _sell(plan, deployment, posted, now=now)
        posted.save(force_insert=True)
    return 1


def _sell(plan: OfferPlan, deployment: Deployment, posted: PostedOffer, *, now: datetime) -> UUID:
    """Put the window's order into the market; gives its id."""
    pool = deployment.pool
    terms = CellTerms(region=pool.region, tier=pool.tier, vendor=pool.vendor, data_terms=pool.data_terms)
    supply_id = trading.supply.declare(
        SupplyDraft(
            organisation_id=plan.organisation_id,
            pool_id=pool.id,
            exclusive_group=pool.id,  # deployments of a pool run on the same chips: one of them sells in a window
            deployment_id=deployment.id,
            line=deployment.line.slug,
            grade=plan.grade,
            window_start=posted.window_start,
            terms=terms,
            offered_st=posted.quantity_st,
            rate_st_per_second=posted.rate_st_per_second,
        ),
        now=now,
    )
    order = trading.orders.place(
        OrderDraft(
            organisation_id=plan.organisation_id,
            side="sell",
            line=deployment.line.slug,
            grade=plan.grade,
            window_start=posted.window_start,
            quantity_st=posted.quantity_st,
            limit_micros=posted.limit_micros,
            client_order_id=f"offer-{posted.id}",
            cell=terms,
            supply_id=supply_id,
        ),
        actor=None,  # the platform places it, so the collar clips the limit instead of refusing it
        now=now,
    )
    return order.id


def _take_back(plan_id: UUID, *, actor: Actor, now: datetime) -> int:
    """Cancel a plan's orders of windows that are not over; their sold parts keep the rate that they need."""
    still_open = PostedOffer.objects.filter(plan_id=plan_id, state=PostedOffer.State.OPEN, window_end__gt=now)
    taken = 0
    for posted in still_open.order_by("window_start"):
        order = _cancelled(posted.order_id, actor=actor, now=now)
        seconds = capacity.seconds_left(now, posted.window_start, posted.window_end)
        PostedOffer.objects.filter(id=posted.id).update(
            state=PostedOffer.State.WITHDRAWN,
            rate_st_per_second=capacity.held_after_withdrawal(posted.rate_st_per_second, order.filled_st, seconds),
        )
        taken += order.filled_st < posted.quantity_st
    return taken


def _cancelled(order_id: UUID, *, actor: Actor, now: datetime) -> market.OrderView:
    try:
        with transaction.atomic():
            return trading.orders.cancel(order_id, actor=actor, now=now)
    except OrderEnded:  # filled to the last lot, or expired
        return market.orders_many([order_id])[order_id]


def _audit(actor: Actor, action: str, plan_id: UUID, now: datetime) -> None:
    audit.record(actor=actor, action=action, subject=ids.encode("off", plan_id), detail={}, now=now)
