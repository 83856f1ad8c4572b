"""The gateway on a real port, two engines behind it, and a buyer who bought from both. All rows are committed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections

from tests.fakes.engine.app import Behaviour, Engine
from tests.fakes.engine.serving import served

FAST = 10**7  # ST/s
BOUGHT_ST = 500_000


@dataclass
class House:
    """Everything a gateway test touches."""

    url: str
    key: str
    scene: Any
    near: Engine
    far: Engine
    near_id: Any
    far_id: Any
    reader_key: str  # may read usage only
    empty_key: str  # of an organisation that bought nothing

    def behave(self, near: Behaviour | None = None, far: Behaviour | None = None) -> None:
        """Set the engines' faults."""
        self.near.behaviour, self.far.behaviour = near or Behaviour(), far or Behaviour()


@pytest.fixture(scope="module")
def house(django_db_setup: None, django_db_blocker: Any) -> Iterator[House]:
    """Built once a module: append-only tables refuse the flush of transactional tests.

    A test's own transaction reads what the gateway commits; what a test writes, the gateway does not see.
    """
    import dispatch.asgi
    from config.native import guarded
    from tests.providers.scene import wipe

    near = Engine(("llama-3-8b",), FAST, "near", "near-key")
    far = Engine(("llama-3-8b",), FAST, "far", "far-key")
    with django_db_blocker.unblock(), served(near) as near_url, served(far) as far_url:
        try:
            with served(guarded(dispatch.asgi.application)) as url:
                yield _furnish(url, near, far, near_url, far_url)
        finally:
            _close_connections_of(dispatch.asgi._pool, dispatch.asgi.POOL_THREADS)
            wipe()
            connection.close()


@pytest.fixture(autouse=True)
def _calm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Engines begin and end each test without faults."""
    yield
    if "house" in request.fixturenames:
        request.getfixturevalue("house").behave()


def _close_connections_of(pool: ThreadPoolExecutor, threads: int) -> None:
    """Close what each thread of a pool keeps open: a database that is still in use cannot be dropped."""
    together = Barrier(threads)  # none takes a second turn before all had their first

    def close() -> None:
        together.wait(timeout=10)
        connections.close_all()

    for closed in [pool.submit(close) for _ in range(threads)]:
        closed.result()


def _furnish(url: str, near: Engine, far: Engine, near_url: str, far_url: str) -> House:
    from accounts.selectors import clock
    from accounts.services import keys
    from metering_ingest import services as metering
    from tests.providers.scene import build

    while (left := 3_600 - clock.now().timestamp() % 3_600) < 45:
        time.sleep(min(left, 5))  # the hour ends; what is bought of it now would not last for the setting up
    now = clock.now()
    scene = build(now=now, yuan=10_000)
    metering.make_partitions(now=now)
    bought = [
        _sell_and_buy(scene, name, engine_url, engine.key, now + timedelta(seconds=10 * place))
        for place, (name, engine, engine_url) in enumerate([("Near", near, near_url), ("Far", far, far_url)])
    ]
    key, reader, empty = (
        keys.create(actor=actor, name="test", scopes=[scope], now=now).secret
        for actor, scope in ((scene.buyer, "inference"), (scene.buyer, "usage:read"), (scene.provider, "inference"))
    )
    return House(url, key, scene, near, far, *bought, reader, empty)


def _sell_and_buy(scene: Any, name: str, engine_url: str, key: str, now: datetime) -> Any:
    """Offer a deployment's next hours and buy of them; then take the offers back, so that the next is bought alone."""
    from market import selectors as market
    from providers import services
    from providers.kernel.drafts import PlanDraft
    from providers.kernel.schedule import Once

    deployment = scene.deployment(scene.pool(name, now=now), now=now, rate=10**6, url=engine_url, key=key)
    for window_start, _ in market.open_windows(now)[:2]:  # the test may run over the hour
        draft = PlanDraft(deployment, "interactive", Once(window_start), 3_500, 1_000_000)
        plan = services.offers.create(draft, actor=scene.provider, now=now)
        services.offers.post(plan, actor=scene.provider, now=now)
        scene.buy(window_start, BOUGHT_ST, 3_000_000, now=now)
    scene.clear(now=now + timedelta(seconds=8))
    for plan in _plans(scene):
        services.offers.withdraw(plan, actor=scene.provider, now=now)
    return deployment


def _plans(scene: Any) -> list[Any]:
    from accounts.selectors import clock
    from providers import selectors

    return [plan.id for plan in selectors.plans_of(scene.provider, now=clock.now())]
