"""What the gateway saw at load, handed to the rating: drift is found, idle time and few requests say nothing."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, transaction

from accounts.selectors import clock
from dispatch.models import RequestLog, SaturatedWindow
from dispatch.services import saturation
from dispatch.tasks import observe_saturation
from market import selectors as market
from market.models import Allocation, ModelLine
from providers import selectors, services
from providers.kernel.drafts import PlanDraft
from providers.kernel.ratings import RatingDraft, RunDraft, Setup, State, WindowDraft
from providers.kernel.schedule import Once
from providers.models import Deployment, Rating, RatingObservation
from tests.providers.scene import LINE, Scene, build
from token_standard import catalogue, ratings
from token_standard.ratings import Requests

pytestmark = pytest.mark.django_db
CARD = catalogue.card("llama-3-8b")
DEVICES, RATE, CONCURRENCY = 8, 500, 8  # ST/s of one device
PROMPT, GENERATED = 1155, 211
PARTS = ratings.parts(CARD, n=PROMPT, c=0, g=GENERATED)
READING = ratings.parts(CARD, n=PROMPT, c=0, g=0).total / PARTS.total


@pytest.fixture
def now() -> datetime:
    return clock.now()


@pytest.fixture
def scene(now: datetime) -> Scene:
    return build(now=now)


@pytest.fixture
def rated(scene: Scene, now: datetime) -> UUID:
    """A deployment of 8 devices with an allocation, rated a day ago at 500 ST/s each with 8 requests under way."""
    deployment = scene.deployment(scene.pool(now=now), now=now)
    window_start = market.open_windows(now)[0][0]
    draft = PlanDraft(deployment, "interactive", Once(window_start), 3_500, 1_000_000)
    plan = services.offers.create(draft, actor=scene.provider, now=now)
    services.offers.post(plan, actor=scene.provider, now=now)
    scene.buy(window_start, 500_000, 3_000_000, now=now)
    scene.clear(now=now + timedelta(seconds=8))
    rate(scene, deployment, now - timedelta(days=1))
    return deployment


def rate(scene: Scene, deployment: UUID, measured_at: datetime, *, wobble_bps: int = 100) -> None:
    runs = tuple(
        RunDraft(prompt, limit, CONCURRENCY, tuple(
            WindowDraft(round(32 * ratings.parts(CARD, n=prompt, c=0, g=limit).total / RATE / DEVICES * wobble * 10**6), (Requests(prompt, 0, limit, 32),))
            for wobble in (Fraction(1), 1 + Fraction(wobble_bps, 10_000), 1 - Fraction(wobble_bps, 10_000), Fraction(1))
        ))
        for prompt, limit in ((2048, 128), (128, 2048))
    )  # fmt: skip
    setup = Setup(CARD.digest, "vllm", "0.32.0", "575.51", "fp16", 1)
    draft = RatingDraft(deployment, setup, DEVICES, measured_at, runs)
    services.ratings.record(draft, actor=scene.provider, now=clock.now())


def window(now: datetime, back: int = 1) -> datetime:
    """The start of a window whose requests have ended; the newest with 1."""
    return saturation._floor(now - saturation.LONGEST) - back * saturation.WINDOW


def work(
    deployment: UUID, start: datetime, requests: int, *, slower: float = 1, at_once: int = CONCURRENCY,
    pause: timedelta = timedelta(), per_burst: int = 0, state: str = "done",
) -> datetime:  # fmt: skip
    """Log requests as an engine at load would do them, always `at_once` under way, `pause` after each burst; gives the end."""
    allocation = Allocation.objects.get()
    line, buyer = ModelLine.objects.get(slug=LINE), allocation.buyer_id
    length = timedelta(seconds=float(PARTS.total * at_once / RATE / DEVICES) * slower)
    rows, opened = [], start
    while len(rows) < requests:
        if per_burst and rows and len(rows) % per_burst == 0:
            opened += pause
        first = opened + length * float(READING)
        rows += [
            RequestLog(
                request_id=uuid.uuid4().hex, organisation_id=buyer, line=line, allocation=allocation, deployment_id=deployment,
                reservation_id=uuid.uuid4(), reserved_micro_st=10**9, stream=True, max_tokens=GENERATED, prompt_tokens=PROMPT,
                completion_tokens=GENERATED if state != "failed" else 0, state=state, opened_at=opened, first_token_at=first,
                closed_at=None if state == "open" else opened + length,
            )
            for _ in range(at_once)
        ]  # fmt: skip
        opened += length
    RequestLog.objects.bulk_create(rows)
    return opened


def standing(deployment: UUID, now: datetime) -> Any:
    return selectors.standings([selectors.deployment(deployment)], now=now)[deployment]


class TestObserveDue:
    def test_finds_a_deployment_as_fast_as_it_was_rated(self, rated: UUID, now: datetime) -> None:
        work(rated, window(now), 1000)

        assert saturation.observe_due(now=now) == 1

        found = standing(rated, now)
        assert found.state == State.RATED
        assert found.drift.requests == 1000
        assert float(found.drift.ratio) == pytest.approx(1, rel=0.02)

    def test_finds_one_that_became_twice_as_slow_drifting(self, rated: UUID, now: datetime) -> None:
        work(rated, window(now), 1000, slower=2)

        saturation.observe_due(now=now)

        found = standing(rated, now)
        assert found.state == State.DRIFTING
        assert float(found.drift.ratio) == pytest.approx(2, rel=0.02)

    def test_changes_nothing_for_idle_time_between_requests(self, rated: UUID, now: datetime) -> None:
        end = work(rated, window(now), 1000, pause=timedelta(seconds=7), per_burst=80)

        saturation.observe_due(now=now)

        found = standing(rated, now)
        assert end - window(now) > timedelta(seconds=float(PARTS.total * 1000 / RATE / DEVICES) + 80)
        assert found.state == State.RATED
        assert float(found.drift.ratio) == pytest.approx(1, rel=0.02)

    def test_says_nothing_of_a_slow_engine_with_fewer_requests_than_it_was_rated_with(
        self, rated: UUID, now: datetime
    ) -> None:
        work(rated, window(now), 1000, slower=2, at_once=CONCURRENCY - 1)

        assert saturation.observe_due(now=now) == 0
        assert not RatingObservation.objects.exists()
        assert SaturatedWindow.objects.get(starts_at=window(now)).loaded_micro_seconds == 0

    def test_judges_nothing_below_two_hundred_requests(self, rated: UUID, now: datetime) -> None:
        work(rated, window(now), 192, slower=4)  # so slow that few requests are at load for long enough

        assert saturation.observe_due(now=now) == 1

        found = standing(rated, now)
        assert found.drift.requests == 192 and float(found.drift.ratio) > 3
        assert found.state == State.RATED

    def test_observes_a_window_once(self, rated: UUID, now: datetime) -> None:
        work(rated, window(now), 1000)

        assert (saturation.observe_due(now=now), saturation.observe_due(now=now), observe_saturation()) == (1, 0, 0)
        assert RatingObservation.objects.count() == 1
        with pytest.raises(DatabaseError), transaction.atomic():
            SaturatedWindow.objects.update(requests=0)

    def test_cuts_long_work_into_windows_without_counting_a_request_twice(self, rated: UUID, now: datetime) -> None:
        start = window(now, back=2) + timedelta(minutes=3)
        work(rated, start, 5000)  # about three and a half minutes

        assert saturation.observe_due(now=now) == 2

        found = standing(rated, now)
        seen = RatingObservation.objects.all()
        assert sum(one.requests for one in seen) == 5000
        total = sum(one.compute_micro_st + one.memory_micro_st for one in seen)
        assert float(total / (5000 * PARTS.total * 10**6)) == pytest.approx(1, rel=1e-6)
        assert float(found.drift.ratio) == pytest.approx(1, rel=0.02)

    def test_waits_for_requests_that_still_run(self, rated: UUID, now: datetime) -> None:
        work(rated, window(now), 1000)
        work(rated, window(now), CONCURRENCY, state="open")

        assert saturation.observe_due(now=now) == 0
        assert not SaturatedWindow.objects.filter(starts_at=window(now)).exists()

    def test_leaves_out_what_failed(self, rated: UUID, now: datetime) -> None:
        work(rated, window(now), 1000, state="failed")

        assert saturation.observe_due(now=now) == 0

    def test_leaves_out_what_was_before_the_rating(self, scene: Scene, rated: UUID, now: datetime) -> None:
        work(rated, window(now), 1000, slower=2)
        rate(scene, rated, now - timedelta(minutes=1), wobble_bps=110)  # runs of its own

        assert saturation.observe_due(now=now) == 0
        assert not SaturatedWindow.objects.exists()

    def test_leaves_out_deployments_whose_devices_do_other_work_too(self, rated: UUID, now: datetime) -> None:
        work(rated, window(now), 1000, slower=2)
        Deployment.objects.filter(id=rated).update(share_bps=5_000)

        assert saturation.observe_due(now=now) == 0

    def test_looks_at_no_deployment_without_a_rating(self, scene: Scene, rated: UUID, now: datetime) -> None:
        other = scene.deployment(scene.pool("Other", now=now), now=now)
        work(other, window(now), 1000)

        saturation.observe_due(now=now)

        assert not SaturatedWindow.objects.filter(deployment_id=other).exists()
        assert Rating.objects.count() == 1

    def test_passes_a_window_with_more_requests_than_can_be_weighed(
        self, rated: UUID, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(saturation, "MOST_REQUESTS", 100)
        work(rated, window(now), 200)

        assert saturation.observe_due(now=now) == 0


def test_windows_lie_on_one_grid() -> None:
    assert saturation._floor(datetime(2026, 11, 24, 21, 34, 56, 7, tzinfo=UTC)) == datetime(
        2026, 11, 24, 21, 30, tzinfo=UTC
    )
