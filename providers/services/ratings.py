"""Ratings of deployments: solved here from submitted runs, and watched by what is observed later."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.services import audit
from providers import selectors
from providers.kernel import ratings as rules
from providers.kernel.errors import (
    BadValue,
    CardMismatch,
    FormatMismatch,
    RatingRefused,
    RunsRepeated,
    TooManyDevices,
    Unrated,
    WrongState,
)
from providers.kernel.ratings import CheckDraft, RatingDraft, RunDraft, Setup, WindowDraft
from providers.models import Deployment, Rating, RatingObservation, RatingRun
from providers.selectors import DeploymentView, Standing
from providers.services import rights
from token_standard import ratings as solver
from token_standard.cards import Card
from token_standard.catalogue import card_by_digest
from token_standard.ratings import Run, Window


def record(draft: RatingDraft, *, actor: Actor, now: datetime, how: str = Rating.How.AGENT) -> UUID:
    """Solve the runs and store them with what they say; gives the rating's id. An earlier rating is superseded.

    :raises Forbidden, NotFound, WrongState: not the actor's, or retired.
    :raises BadValue, CardMismatch, FormatMismatch, TooManyDevices: what the runs were made on cannot be.
    :raises RunsRepeated: one of the runs is part of an earlier rating.
    :raises RatingRefused: the runs give no rating; its code is the solver's.
    """
    deployment, card = _checked(draft, actor=actor, now=now)
    _check_new(draft)
    runs = [_run(run, draft.devices) for run in draft.runs]
    try:
        found = solver.solve(card, runs)
    except solver.RatingError as error:
        raise RatingRefused(error.code, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    with transaction.atomic():
        rating = Rating.objects.create(
            deployment_id=deployment.id,
            **asdict(draft.setup),
            devices=draft.devices,
            **_figures(found),
            how=how,
            user_id=actor.user_id,
            key_id=actor.key_id,
            measured_at=draft.measured_at,
            expires_at=draft.measured_at + valid_for(),
            created_at=now,
        )
        RatingRun.objects.bulk_create(
            _row(rating, number, given, run) for number, (given, run) in enumerate(zip(draft.runs, runs, strict=True))
        )
        subject = ids.encode("dep", deployment.id)
        detail = {"rating": ids.encode("rtg", rating.id), "how": str(how)}
        audit.record(actor=actor, action="deployment.rated", subject=subject, detail=detail, now=now)
    return rating.id


def check(draft: CheckDraft, *, actor: Actor, now: datetime) -> Standing:
    """Store one window of a provider's own run and say how the rating stands after it.

    :raises Forbidden, NotFound, WrongState, BadValue, TooManyDevices: as `record`.
    :raises Unrated: no rating stands that it could be compared with.
    :raises RatingRefused: a window that cannot be.
    """
    deployment, card = _checked(draft, actor=actor, now=now, may_differ=True)
    try:
        work = solver.window_parts(card, draft.window.requests)
    except solver.RatingError as error:
        raise RatingRefused(error.code, str(error)) from None
    if not work.total:
        raise RatingRefused("no_tokens", "The window has no tokens.")
    if work.total * rules.MICRO > rules.MOST_WINDOW_MICRO:
        raise RatingRefused("bad_counts", "No window has so much work.")
    if not draft.window.micro_seconds:
        raise RatingRefused("bad_seconds", "The seconds of a window must be above zero.")
    stored = observe(
        deployment.id,
        compute_micro_st=round(work.compute * rules.MICRO),
        memory_micro_st=round(work.memory * rules.MICRO),
        gpu_micro_seconds=draft.window.micro_seconds * draft.devices,
        requests=sum(each.times for each in draft.window.requests),
        setup=draft.setup,
        now=now,
    )
    if not stored:
        raise Unrated("The deployment has no rating that stands; rate it first.")
    return selectors.standings([deployment], now=now)[deployment.id]


def observe(
    deployment_id: UUID,
    *,
    compute_micro_st: int,
    memory_micro_st: int,
    gpu_micro_seconds: int,
    requests: int,
    setup: Setup | None = None,
    now: datetime,
) -> bool:
    """Keep what a deployment did in a window at load, micro-ST of both parts and GPU-microseconds.

    With a `setup`, one that differs from the rating's ends the rating. False, and nothing kept, where none stands.

    :raises NotFound: there is no such deployment.
    """
    deployment = selectors.deployment(deployment_id)
    standing = selectors.standings([deployment], now=now)[deployment_id]
    if standing.rating is None or standing.state not in rules.STANDING:
        return False
    RatingObservation.objects.create(
        rating_id=standing.rating.id,
        requests=requests,
        compute_micro_st=compute_micro_st,
        memory_micro_st=memory_micro_st,
        gpu_micro_seconds=gpu_micro_seconds,
        changed=rules.changed(standing.rating.setup, setup) if setup else "",
        observed_at=now,
    )
    return True


def valid_for() -> timedelta:
    """How long a rating holds: setting PROVIDERS_RATING_DAYS."""
    return timedelta(days=int(getattr(settings, "PROVIDERS_RATING_DAYS", rules.VALID_DAYS)))


def _checked(
    draft: RatingDraft | CheckDraft, *, actor: Actor, now: datetime, may_differ: bool = False
) -> tuple[DeploymentView, Card]:
    """The deployment that a draft names and the card that counts it, once everything fits together.

    `may_differ`: another format or card is what a check is there to find.
    """
    rights.check(actor)
    deployment = selectors.deployment_of(draft.deployment_id, actor)
    if deployment.state != Deployment.State.ACTIVE:
        raise WrongState("The deployment is retired.")
    if not now - rules.OLDEST_RUN <= draft.measured_at <= now + rules.CLOCK_SLACK:
        raise BadValue("The runs were measured within the last 7 days.", field="measured_at")
    if draft.devices > deployment.device_count:
        raise TooManyDevices(f"The pool has {deployment.device_count} devices.", field="devices")
    if draft.setup.tensor_parallel > draft.devices:
        raise BadValue("No more devices can share a model than there are.", field="tensor_parallel")
    if not may_differ and draft.setup.card_digest != deployment.card_digest:
        raise CardMismatch(f"{deployment.line} is sold by card {deployment.card_digest}.", field="card")
    if not may_differ and draft.setup.served_format != deployment.served_format:
        raise FormatMismatch(f"The deployment serves {deployment.served_format}.", field="served_format")
    return deployment, card_by_digest(deployment.card_digest)


def _check_new(draft: RatingDraft) -> None:
    earlier = RatingRun.objects.filter(rating__deployment_id=draft.deployment_id)
    if any(earlier.filter(windows=_windows(run)).exists() for run in draft.runs):
        raise RunsRepeated("These runs were submitted before; rate the deployment by new ones.")


def _windows(run: RunDraft) -> list[dict[str, Any]]:
    return [
        {"micro_seconds": window.micro_seconds, "requests": [list(each) for each in window.requests]}
        for window in run.windows
    ]


def _run(draft: RunDraft, devices: int) -> Run:
    return Run(draft.prompt_tokens, draft.max_tokens, tuple(_window(each, devices) for each in draft.windows))


def _window(draft: WindowDraft, devices: int) -> Window:
    return Window(Fraction(draft.micro_seconds * devices, rules.MICRO), draft.requests)


def _figures(found: solver.Rating) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "mix": solver.MIX_NAME,
        "reduced": found.reduced,
        "compute_pico_seconds": round(found.compute.point * rules.PICO),
        "memory_pico_seconds": round(found.memory.point * rules.PICO),
        "separation_bps": round(found.separation * 10_000),
        "residual_bps": round(found.residual * 10_000),
    }
    for name in ("compute", "memory", "blended"):
        point, low, high = rules.rate_micros(getattr(found, name).rate)
        figures |= {f"{name}_micro": point, f"{name}_low_micro": low, f"{name}_high_micro": high}
    if figures["blended_micro"] is None or not figures["blended_low_micro"]:
        raise RatingRefused("bad_seconds", "No engine is as fast, or as slow, as these runs say.")
    return figures


def _row(rating: Rating, position: int, given: RunDraft, run: Run) -> RatingRun:
    totals = run.totals
    return RatingRun(
        rating=rating,
        position=position,
        prompt_tokens=given.prompt_tokens,
        max_tokens=given.max_tokens,
        concurrency=given.concurrency,
        requests=totals.times,
        uncached_tokens=totals.n,
        cached_tokens=totals.c,
        generated_tokens=totals.g,
        micro_seconds=sum(window.micro_seconds for window in given.windows),
        windows=_windows(given),
    )
