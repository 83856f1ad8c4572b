"""Pools, deployments and offers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet, Sum

from accounts.kernel.actor import Actor
from market import selectors as market
from market.kernel import windows
from providers.kernel.errors import NotFound
from providers.kernel.outlook import Traded
from providers.kernel.schedule import MARKET_CLOCK, Calendar, Hours, Once, Schedule, Weekly, unmask
from providers.models import Agent, AgentKey, Deployment, EngineKey, OfferPlan, Pool, PostedOffer

# How far back the sold share of an offer looks.
SOLD_SHARE_DAYS = timedelta(days=7)

# A week of rounds is long and its prices are few, so the database adds them up; `market.selectors.trades` tells them
# one by one, product by product.


@dataclass(frozen=True, slots=True)
class PoolView:
    """Accelerators of one kind in one place."""

    id: UUID
    organisation_id: UUID
    name: str
    vendor: str
    chip: str
    device_count: int
    region: str
    data_terms: str
    tier: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """One line served on one pool. Rates are ST/s; `share_bps` of the rate is for sale.

    `card_digest` is the card by which the line's tokens are counted and sold; `device_count` is the pool's.
    """

    id: UUID
    organisation_id: UUID
    pool_id: UUID
    pool_name: str
    device_count: int
    line: str
    line_name: str
    card_digest: str
    served_format: str
    engine_model: str
    endpoint_url: str
    private_endpoint: bool
    rate_st_per_second: int
    share_bps: int
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PostedView:
    """A plan's sell order for one window."""

    id: UUID
    window_start: datetime
    window_end: datetime
    order_id: UUID
    limit_micros: int
    list_price_micros: int | None
    quantity_st: int
    sold_st: int
    state: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """An offer and how it sells: `offered_st` and `sold_st` sum the windows of the last 7 days and those ahead."""

    id: UUID
    deployment_id: UUID
    pool_name: str
    line: str
    line_name: str
    grade: str
    kind: str
    schedule: Schedule
    discount_bps: int
    floor_micros: int
    share_bps: int
    state: str
    problem: str
    created_at: datetime
    posted: tuple[PostedView, ...]

    @property
    def offered_st(self) -> int:
        """ST offered: what still stands, and what was sold of the withdrawn."""
        return sum(one.quantity_st if one.state == "open" else one.sold_st for one in self.posted)

    @property
    def sold_st(self) -> int:
        """ST sold of it."""
        return sum(one.sold_st for one in self.posted)


def pools_of(actor: Actor) -> list[PoolView]:
    """The pools of the actor's organisation, by name."""
    return [_pool(row) for row in Pool.objects.filter(organisation_id=actor.organisation_id).order_by("name")]


def pool(pool_id: UUID, actor: Actor) -> PoolView:
    """One pool of the actor's organisation.

    :raises NotFound: there is none.
    """
    row = Pool.objects.filter(id=pool_id, organisation_id=actor.organisation_id).first()
    if row is None:
        raise NotFound("There is no such pool.")
    return _pool(row)


def deployments_of(actor: Actor, *, active_only: bool = False) -> list[DeploymentView]:
    """The deployments of the actor's organisation, by pool and line."""
    rows = _deployments().filter(pool__organisation_id=actor.organisation_id)
    if active_only:
        rows = rows.filter(state=Deployment.State.ACTIVE)
    return [_deployment(row) for row in rows.order_by("pool__name", "line__slug", "id")]


def deployment_of(deployment_id: UUID, actor: Actor) -> DeploymentView:
    """One deployment of the actor's organisation.

    :raises NotFound: there is none.
    """
    row = _deployments().filter(id=deployment_id, pool__organisation_id=actor.organisation_id).first()
    if row is None:
        raise NotFound("There is no such deployment.")
    return _deployment(row)


def deployment(deployment_id: UUID) -> DeploymentView:
    """One deployment, whoever owns it: for the gateway.

    :raises NotFound: there is none.
    """
    found = deployments_many([deployment_id])
    if deployment_id not in found:
        raise NotFound("There is no such deployment.")
    return found[deployment_id]


def deployments_many(deployment_ids: Collection[UUID]) -> dict[UUID, DeploymentView]:
    """Those of these deployments that exist, by id."""
    return {row.id: _deployment(row) for row in _deployments().filter(id__in=list(deployment_ids))}


def engine_key(deployment_id: UUID) -> str:
    """The bearer key of a deployment's engine; empty where it needs none. For the gateway only."""
    return EngineKey.objects.filter(deployment_id=deployment_id).values_list("secret", flat=True).first() or ""


def plans_of(actor: Actor, *, now: datetime) -> list[PlanView]:
    """The offers of the actor's organisation, newest first."""
    rows = OfferPlan.objects.filter(organisation_id=actor.organisation_id).order_by("-id")
    return _plans(rows.select_related("deployment__pool", "deployment__line"), now)


def plan(plan_id: UUID, actor: Actor, *, now: datetime) -> PlanView:
    """One offer of the actor's organisation.

    :raises NotFound: there is none.
    """
    rows = OfferPlan.objects.filter(id=plan_id, organisation_id=actor.organisation_id)
    found = _plans(rows.select_related("deployment__pool", "deployment__line"), now)
    if not found:
        raise NotFound("There is no such offer.")
    return found[0]


def rates_taken(deployment_id: UUID, window_starts: Collection[datetime]) -> dict[datetime, int]:
    """ST/s of a deployment that posted offers may need, by window."""
    rows = (
        PostedOffer.objects.filter(deployment_id=deployment_id, window_start__in=list(window_starts))
        .order_by()
        .values("window_start")
        .annotate(rate=Sum("rate_st_per_second"))
        .values_list("window_start", "rate")
    )
    return {start: int(rate) for start, rate in rows}


class ListPrices:
    """The list prices of a line and grade; each day's is read once."""

    def __init__(self, line: str, grade: str) -> None:
        self._line, self._grade = line, grade
        self._by_day: dict[date, int | None] = {}

    def of_window(self, window_start: datetime, *, created_at: datetime | None = None) -> int | None:
        """The one that counts: that of the day on which the window opened for trading, or the offer was made."""
        at = window_start - windows.WINDOWS_AHEAD * windows.WINDOW
        at = max(at, created_at) if created_at else at
        day = at.astimezone(MARKET_CLOCK).date()
        if day not in self._by_day:
            found = market.list_price(self._line, self._grade, at=at)
            self._by_day[day] = found.price_micros if found else None
        return self._by_day[day]


def traded(
    line: str, grade: str, window_starts: Collection[datetime], *, since: datetime, until: datetime
) -> list[Traded]:
    """What the rounds closed in `[since, until)` traded of a line and grade in these windows, by window and price.

    :raises UnknownLine: there is no active line of this name.
    """
    return [Traded(*row) for row in market.volumes(line, grade, window_starts, since=since, until=until)]


def schedule_of(row: OfferPlan) -> Schedule:
    """The windows that a stored plan names."""
    if row.window_start is not None:
        return Once(row.window_start)
    if row.kind == OfferPlan.Kind.CALENDAR:
        return Calendar(
            _hours(row.workday_from_hour, row.workday_to_hour), _hours(row.restday_from_hour, row.restday_to_hour)
        )
    assert row.weekdays is not None and row.from_hour is not None and row.to_hour is not None
    return Weekly(unmask(row.weekdays), row.from_hour, row.to_hour)


def _hours(from_hour: int | None, to_hour: int | None) -> Hours | None:
    return None if from_hour is None or to_hour is None else Hours(from_hour, to_hour)


def _plans(rows: Iterable[OfferPlan], now: datetime) -> list[PlanView]:
    listed = list(rows)
    posted: dict[UUID, list[PostedOffer]] = defaultdict(list)
    recent = PostedOffer.objects.filter(plan__in=[row.id for row in listed], window_end__gt=now - SOLD_SHARE_DAYS)
    for one in recent.order_by("window_start", "id"):
        posted[one.plan_id].append(one)
    orders = market.orders_many([one.order_id for some in posted.values() for one in some])
    sold = {order_id: view.filled_st for order_id, view in orders.items()}
    return [_plan(row, tuple(_posted(one, sold[one.order_id]) for one in posted[row.id])) for row in listed]


def _plan(row: OfferPlan, posted: tuple[PostedView, ...]) -> PlanView:
    return PlanView(
        id=row.id,
        deployment_id=row.deployment_id,
        pool_name=row.deployment.pool.name,
        line=row.deployment.line.slug,
        line_name=row.deployment.line.display_name,
        grade=row.grade,
        kind=row.kind,
        schedule=schedule_of(row),
        discount_bps=row.discount_bps,
        floor_micros=row.floor_micros,
        share_bps=row.share_bps,
        state=row.state,
        problem=row.problem,
        created_at=row.created_at,
        posted=posted,
    )


def _posted(row: PostedOffer, sold_st: int) -> PostedView:
    return PostedView(
        id=row.id,
        window_start=row.window_start,
        window_end=row.window_end,
        order_id=row.order_id,
        limit_micros=row.limit_micros,
        list_price_micros=row.list_price_micros,
        quantity_st=row.quantity_st,
        sold_st=sold_st,
        state=row.state,
    )


def _deployments() -> QuerySet[Deployment]:
    return Deployment.objects.select_related("pool", "line")


def _pool(row: Pool) -> PoolView:
    return PoolView(**{name: getattr(row, name) for name in PoolView.__dataclass_fields__})


def _deployment(row: Deployment) -> DeploymentView:
    return DeploymentView(
        id=row.id,
        organisation_id=row.pool.organisation_id,
        pool_id=row.pool_id,
        pool_name=row.pool.name,
        device_count=row.pool.device_count,
        line=row.line.slug,
        line_name=row.line.display_name,
        card_digest=row.line.card_digest,
        served_format=row.served_format,
        engine_model=row.engine_model,
        endpoint_url=row.endpoint_url,
        private_endpoint=row.private_endpoint,
        rate_st_per_second=row.rate_st_per_second,
        share_bps=row.share_bps,
        state=row.state,
        created_at=row.created_at,
    )


@dataclass(frozen=True, slots=True)
class AgentView:
    """A provider's agent. `state` is waiting before a key was handed in, then active, parked or revoked."""

    id: UUID
    organisation_id: UUID
    pool_id: UUID | None
    pool_name: str
    name: str
    state: str
    reason: str
    version: str
    last_seen_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AgentDeployment:
    """What an agent must know of a deployment to meter it. `engine_model` is what the engine calls the model."""

    id: UUID
    line: str
    card_digest: str
    served_format: str
    contracted_format: str
    engine_model: str


def agents_of(actor: Actor) -> list[AgentView]:
    """The agents of the actor's organisation, newest first."""
    rows = Agent.objects.filter(organisation_id=actor.organisation_id).order_by("-id")
    return [_agent(row) for row in _with_keys(rows)]


def agent_of(agent_id: UUID, actor: Actor) -> AgentView:
    """One agent of the actor's organisation.

    :raises NotFound: there is none.
    """
    row = _with_keys(Agent.objects.filter(id=agent_id, organisation_id=actor.organisation_id)).first()
    if row is None:
        raise NotFound("There is no such agent.")
    return _agent(row)


def deployments_for_agent(agent_id: UUID) -> list[AgentDeployment]:
    """The active deployments of an agent's pool, or of all pools of its organisation, by line."""
    agent = Agent.objects.get(id=agent_id)
    rows = _deployments().filter(pool__organisation_id=agent.organisation_id, state=Deployment.State.ACTIVE)
    if agent.pool_id is not None:
        rows = rows.filter(pool_id=agent.pool_id)
    lines = {line.slug: line for line in market.lines(agent.organisation_id)}
    return [
        AgentDeployment(
            id=row.id,
            line=row.line.slug,
            card_digest=lines[row.line.slug].card_digest,
            served_format=row.served_format,
            contracted_format=lines[row.line.slug].card_format,
            engine_model=row.engine_model,
        )
        for row in rows.order_by("line__slug", "id")
        if row.line.slug in lines
    ]


def _with_keys(rows: QuerySet[Agent]) -> QuerySet[Agent]:
    return rows.select_related("pool").annotate(has_key=Exists(AgentKey.objects.filter(agent=OuterRef("pk"))))


def _agent(row: Agent) -> AgentView:
    waiting = row.state == Agent.State.ACTIVE and not row.has_key  # type: ignore[attr-defined]
    return AgentView(
        id=row.id,
        organisation_id=row.organisation_id,
        pool_id=row.pool_id,
        pool_name=row.pool.name if row.pool else "",
        name=row.name,
        state="waiting" if waiting else row.state,
        reason=row.reason,
        version=row.version,
        last_seen_at=row.last_seen_at,
        created_at=row.created_at,
    )
