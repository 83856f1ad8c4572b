"""Ratings of deployments, how they stand now, and what was run for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from uuid import UUID

from django.db.models import F, Max, Window
from django.db.models.functions import RowNumber

from accounts.kernel.actor import Actor
from providers.kernel import ratings as rules
from providers.kernel.errors import NotFound
from providers.kernel.ratings import Drift, Observed, Setup, State
from providers.models import Deployment, Rating, RatingObservation, RatingRun
from providers.selectors.hardware import DeploymentView, deployment_of, deployments_many


@dataclass(frozen=True, slots=True)
class Rate:
    """Micro-ST a second of one device with its 95 % interval; None is without bound."""

    point: int | None
    low: int
    high: int | None

    def of(self, devices: int) -> Rate:
        """The same of so many devices."""
        point = None if self.point is None else self.point * devices
        return Rate(point, self.low * devices, None if self.high is None else self.high * devices)


@dataclass(frozen=True, slots=True)
class RunView:
    """One calibration run: its shape and totals."""

    prompt_tokens: int
    max_tokens: int
    concurrency: int
    requests: int
    uncached_tokens: int
    cached_tokens: int
    generated_tokens: int
    micro_seconds: int
    windows: list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class RatingView:
    """A stored rating. Rates are of one device."""

    id: UUID
    deployment_id: UUID
    setup: Setup
    devices: int
    mix: str
    reduced: bool
    compute: Rate
    memory: Rate
    blended: Rate
    compute_pico_seconds: int
    memory_pico_seconds: int
    separation_bps: int
    residual_bps: int
    how: str
    user_id: UUID | None
    key_id: UUID | None
    measured_at: datetime
    expires_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How a deployment is rated now. `supported` is None where no rating stands to judge the declared rate by.

    `changed` names what of its setup was seen to differ from the rating's.
    """

    state: State
    rating: RatingView | None
    drift: Drift | None
    changed: str
    supported: bool | None


@dataclass(frozen=True, slots=True)
class Watched:
    """A deployment in service with a rating that stands; `concurrency` is the most requests under way in its runs."""

    deployment: DeploymentView
    rating: RatingView
    concurrency: int


@dataclass(frozen=True, slots=True)
class RatingDetail:
    """A rating of a deployment's history with its state and its runs."""

    rating: RatingView
    state: State
    runs: tuple[RunView, ...]


def standings(deployments: Collection[DeploymentView], *, now: datetime) -> dict[UUID, Standing]:
    """How each of these deployments is rated now."""
    newest = {
        row.deployment_id: row
        for row in Rating.objects.filter(deployment_id__in=[each.id for each in deployments])
        .order_by("deployment_id", "-measured_at", "-id")
        .distinct("deployment_id")
    }
    seen = _observed([row.id for row in newest.values()])
    changed = _changed([row.id for row in newest.values()])
    return {each.id: _standing(each, newest.get(each.id), seen, changed, now) for each in deployments}


def watched(*, now: datetime) -> list[Watched]:
    """Deployments whose observed work says something: those in service whose rating stands, by id."""
    rated = Rating.objects.filter(expires_at__gt=now, deployment__state=Deployment.State.ACTIVE)
    found = deployments_many(set(rated.values_list("deployment_id", flat=True)))
    standing = {
        key: (one.rating, found[key])
        for key, one in standings(found.values(), now=now).items()
        if one.rating is not None and one.state in rules.STANDING
    }
    runs = RatingRun.objects.filter(rating__in=[rating.id for rating, _ in standing.values()])
    most = dict(runs.values("rating_id").annotate(most=Max("concurrency")).values_list("rating_id", "most"))
    return [Watched(one, rating, most[rating.id]) for _, (rating, one) in sorted(standing.items())]


def ratings_of(deployment_id: UUID, actor: Actor, *, now: datetime) -> list[RatingDetail]:
    """The ratings of a deployment of the actor's organisation, newest first.

    :raises NotFound: there is no such deployment.
    """
    deployment = deployment_of(deployment_id, actor)
    standing = standings([deployment], now=now)[deployment_id]
    rows = list(Rating.objects.filter(deployment_id=deployment_id).order_by("-measured_at", "-id"))
    runs: dict[UUID, list[RunView]] = defaultdict(list)
    for run in RatingRun.objects.filter(rating__in=[row.id for row in rows]).order_by("rating_id", "position"):
        runs[run.rating_id].append(_run(run))
    return [
        RatingDetail(_rating(row), State.SUPERSEDED if number else standing.state, tuple(runs[row.id]))
        for number, row in enumerate(rows)
    ]


def rating_of(rating_id: UUID, actor: Actor, *, now: datetime) -> RatingDetail:
    """One rating of the actor's organisation.

    :raises NotFound: there is none.
    """
    row = Rating.objects.filter(id=rating_id, deployment__pool__organisation_id=actor.organisation_id).first()
    for found in ratings_of(row.deployment_id, actor, now=now) if row else ():
        if found.rating.id == rating_id:
            return found
    raise NotFound("There is no such rating.")


def _standing(
    deployment: DeploymentView,
    row: Rating | None,
    seen: dict[UUID, list[RatingObservation]],
    changes: dict[UUID, str],
    now: datetime,
) -> Standing:
    if row is None:
        return Standing(State.UNRATED, None, None, "", None)
    view = _rating(row)
    assert view.blended.point is not None  # a constraint of its column
    drift = rules.drift(
        [_foretold(view, each) for each in seen.get(row.id, [])],
        point=view.blended.point, low=view.blended.low, high=view.blended.high,
    )  # fmt: skip
    changed = changes.get(row.id, "") or rules.changed(view.setup, _now(deployment, view.setup))
    state = rules.state(expires_at=row.expires_at, newest=True, changed=bool(changed), drifting=drift.drifting, now=now)
    supported = None
    if state in rules.STANDING:
        supported = rules.supported(deployment.rate_st_per_second, view.blended.high, deployment.device_count)
    return Standing(state, view, drift, changed, supported)


def _now(deployment: DeploymentView, rated: Setup) -> Setup:
    """The setup as far as the deployment itself tells it; what it does not tell is taken to be as rated."""
    return Setup(
        card_digest=deployment.card_digest,
        engine=rated.engine,
        engine_version=rated.engine_version,
        driver=rated.driver,
        served_format=deployment.served_format,
        tensor_parallel=rated.tensor_parallel,
    )


def _observed(rating_ids: Collection[UUID]) -> dict[UUID, list[RatingObservation]]:
    """The newest observations of each rating; 200 rows have at least 200 requests."""
    place = Window(RowNumber(), partition_by=F("rating_id"), order_by=[F("observed_at").desc(), F("id").desc()])
    rows = RatingObservation.objects.filter(rating_id__in=list(rating_ids)).annotate(place=place)
    found: dict[UUID, list[RatingObservation]] = defaultdict(list)
    for row in rows.filter(place__lte=rules.JUDGED_REQUESTS).order_by("rating_id", "place"):
        found[row.rating_id].append(row)
    return found


def _changed(rating_ids: Collection[UUID]) -> dict[UUID, str]:
    rows = RatingObservation.objects.filter(rating_id__in=list(rating_ids)).exclude(changed="").order_by("id")
    return dict(rows.values_list("rating_id", "changed"))


def _foretold(rating: RatingView, row: RatingObservation) -> Observed:
    pico = rating.compute_pico_seconds * row.compute_micro_st + rating.memory_pico_seconds * row.memory_micro_st
    return Observed(
        taken=Fraction(row.gpu_micro_seconds, rules.MICRO),
        foretold=Fraction(pico, rules.MICRO * rules.PICO),
        requests=row.requests,
    )


def _rating(row: Rating) -> RatingView:
    same = ("id", "deployment_id", "devices", "mix", "reduced", "compute_pico_seconds", "memory_pico_seconds",
            "separation_bps", "residual_bps", "how", "user_id", "key_id", "measured_at", "expires_at", "created_at")  # fmt: skip
    setup = Setup(**{name: getattr(row, name) for name in Setup.__dataclass_fields__})
    return RatingView(
        setup=setup,
        compute=Rate(row.compute_micro, row.compute_low_micro, row.compute_high_micro),
        memory=Rate(row.memory_micro, row.memory_low_micro, row.memory_high_micro),
        blended=Rate(row.blended_micro, row.blended_low_micro, row.blended_high_micro),
        **{name: getattr(row, name) for name in same},
    )


def _run(row: RatingRun) -> RunView:
    return RunView(**{name: getattr(row, name) for name in RunView.__dataclass_fields__})
