"""Two workers at once, on real connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from market import selectors as market
from providers import selectors, services
from providers.kernel.drafts import PlanDraft
from providers.kernel.schedule import Once, Weekly
from providers.models import OfferPlan, PostedOffer
from tests.providers.scene import Scene, build, wipe

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 9, 20, tzinfo=UTC)
NEXT = datetime(2026, 11, 24, 10, tzinfo=UTC)
ALWAYS = Weekly(frozenset(range(7)), 0, 24)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[tuple[Scene, Any]]:
    """A committed market with one deployment."""
    with django_db_blocker.unblock():
        try:
            scene = build(now=NOW)
            yield scene, scene.deployment(scene.pool(now=NOW), now=NOW)
        finally:
            wipe()
            connection.close()


def together(*steps: Any) -> list[Any]:
    """Run the steps in threads that start at once; gives what each returned."""
    barrier = threading.Barrier(len(steps))
    results: list[Any] = [None] * len(steps)

    def run(place: int) -> None:
        try:
            barrier.wait()
            results[place] = steps[place]()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(steps))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


class TestTwoWorkers:
    def test_post_each_window_once(self, world: tuple[Scene, Any]) -> None:
        scene, deployment = world
        plan_ids: list[Any] = together(
            lambda: services.offers.create(
                PlanDraft(deployment, "interactive", ALWAYS, 3_500, 1_000_000, 5_000), actor=scene.provider, now=NOW
            )
        )
        together(lambda: OfferPlan.objects.filter(id=plan_ids[0]).update(state="live"))

        posted = together(*[lambda: services.offers.post_due(now=NOW)] * 4)

        assert sum(posted) == 49
        assert PostedOffer.objects.count() == market.open_count(scene.provider) == 49

    def test_never_divide_a_rate_twice(self, world: tuple[Scene, Any]) -> None:
        scene, deployment = world
        draft = PlanDraft(deployment, "batch", Once(NEXT), 0, 1_000_000, 9_000)
        made = together(*[lambda: services.offers.create(draft, actor=scene.provider, now=NOW)] * 3)

        together(*[lambda plan=plan: services.offers.post(plan, actor=scene.provider, now=NOW) for plan in made])

        assert selectors.rates_taken(deployment, [NEXT])[NEXT] <= 1_000
