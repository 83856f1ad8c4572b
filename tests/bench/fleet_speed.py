"""Eight large components of one round: cleared by one worker, and shared with a second; target: 0.8 of the time alone.

Each is the coupled book of 2,000 bids, 200 offers and 120 cells. Sharing goes through the table, as in a round. On a
machine with two cores and nothing else to do it takes about half as long. Prints a table, then one JSON line a figure.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

import django
import numpy as np
from django.db import connections

COMPONENTS, BIDS, OFFERS, RUNS, TARGET = 8, 2_000, 200, 3, 0.8


def main() -> int:
    """Measure, print, and give 1 when sharing does not pay."""
    django.setup()
    from market.models import Round
    from market.services import components
    from market.services.clearing import clear_here
    from tests.bench.round_speed import own_database

    components._tell = lambda *_: None  # the helper asks by itself; there is no broker here
    with own_database():
        parts = _parts()
        running: Any = SimpleNamespace(round_id=Round.objects.get().id, fence=1, frozen=_frozen())
        forget = partial(components.forget, running.round_id)
        alone = min(_timed(clear_here, parts) for _ in range(RUNS))
        with _helper(running.round_id):
            shared = min(_timed(components.sharing(running), parts, after=forget) for _ in range(RUNS))
    figure = {"name": f"market: {COMPONENTS} components of {BIDS + OFFERS:,} orders, two workers", "unit": "s",
              "value": round(shared, 3), "against": round(alone, 3), "ratio": round(shared / alone, 2), "target": TARGET,
              "ok": shared <= TARGET * alone or (os.cpu_count() or 1) < 2}  # fmt: skip
    print(f"{COMPONENTS} components: {alone:.2f} s by one worker, {shared:.2f} s by two")
    print(json.dumps(figure))
    return 0 if figure["ok"] else 1


def _timed(clear: Any, parts: Sequence[Any], *, after: Callable[[], None] = lambda: None) -> float:
    began = time.perf_counter()
    outcomes = clear(parts)
    seconds = time.perf_counter() - began
    after()
    assert all(sum(one.volume) > 0 for one in outcomes)
    return seconds


def _parts() -> list[Any]:
    from market.services.coupling import EngineCell, Part
    from tests.bench.coupled_speed import book

    return [Part(np.zeros(0, dtype=np.int64), (EngineCell(n, None),), book(BIDS, OFFERS)) for n in range(COMPONENTS)]


def _frozen() -> SimpleNamespace:
    products = [SimpleNamespace(id=UUID(int=number)) for number in range(COMPONENTS)]
    return SimpleNamespace(book=SimpleNamespace(products=products))


@contextmanager
def _helper(round_id: UUID) -> Iterator[None]:
    """A second worker, which looks for components all the time."""
    from market.services import components

    connections.close_all()
    pid = os.fork()
    if not pid:
        while True:
            components.work(round_id, 1)
            time.sleep(0.005)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    sys.exit(main())
