"""Large components of a round, cleared by whichever workers are free; the round waits for all of them and commits whole."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from functools import partial
from threading import Thread
from typing import Any
from uuid import UUID

import msgspec
import structlog
from celery import current_app
from django.conf import settings
from django.db import connection

from market import enqueue
from market.matching_engine.components import clear_component
from market.matching_engine.coupled import Component, Outcome
from market.models import ComponentTask
from market.services import failpoints
from market.services.clearing import ComponentFailed, Run, clear_here
from market.services.coupling import Part
from market.services.freezing import Running

log = structlog.get_logger(__name__)

# A component of fewer orders is cleared before another worker would have read it.
FEWEST_ORDERS = 500
# A worker that has not answered by then is taken to be gone, and its component is taken again.
LEASE_SECONDS = 10
# A component during which so many workers went is not tried again.
TRIES = 3
MOST_HINTS = 16
_PAUSE_SECONDS = 0.01


class Superseded(Exception):
    """The round was frozen anew while this process cleared it; what it found is of no use."""


_TAKE = """
    UPDATE market_componenttask SET tries = tries + 1, taken_until = clock_timestamp() + %s * interval '1 s'
    WHERE id = (
        SELECT id FROM market_componenttask
        WHERE round_id = %s AND fence = %s AND outcome IS NULL AND failure = '' AND tries < %s
            AND (taken_until IS NULL OR taken_until < clock_timestamp())
        ORDER BY orders DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING id, component
"""
_GIVE_UP = """
    UPDATE market_componenttask SET failure = 'WorkerLost: ' || tries || ' workers ended while they cleared this component'
    WHERE round_id = %s AND fence = %s AND outcome IS NULL AND failure = '' AND tries >= %s
        AND (taken_until IS NULL OR taken_until < clock_timestamp())
"""


def sharing(running: Running) -> Run:
    """How the components of this round are cleared: here where they are small or only one, else by all workers."""
    return partial(_clear, running)


def work(round_id: UUID, fence: int) -> int:
    """Clear components of a round for as long as there are any; gives how many this process cleared."""
    done = 0
    while _one(round_id, fence):
        done += 1
    return done


def forget(round_id: UUID) -> None:
    """The round is cleared: its components are of no use any more."""
    ComponentTask.objects.filter(round_id=round_id).delete()


def _clear(running: Running, parts: Sequence[Part]) -> list[Outcome | Exception]:
    fewest = int(getattr(settings, "MARKET_SHARED_COMPONENT_ORDERS", FEWEST_ORDERS))
    large = [part for part in parts if len(part.component.orders) >= fewest]
    if len(large) < 2:
        return clear_here(parts)
    _store(running, large)
    Thread(target=_tell, args=(running, len(large) - 1), daemon=True).start()
    small = iter(clear_here([part for part in parts if len(part.component.orders) < fewest]))
    work(running.round_id, running.fence)
    shared = iter(_wait(running, [_subject(running, part) for part in large]))
    return [next(shared) if len(part.component.orders) >= fewest else next(small) for part in parts]


def _store(running: Running, parts: Sequence[Part]) -> None:
    """One row a component, which knows how often it ended its worker when the round was frozen before."""
    of_round = ComponentTask.objects.filter(round_id=running.round_id)
    unfinished = of_round.filter(outcome__isnull=True, failure="").values_list("subject", "tries")
    tries = {bytes(subject): count for subject, count in unfinished}
    rows = []
    for part in parts:
        subject = _subject(running, part)
        rows.append(
            ComponentTask(
                round_id=running.round_id,
                fence=running.fence,
                subject=subject,
                orders=len(part.component.orders),
                component=msgspec.msgpack.encode(part.component),
                tries=tries.get(subject, 0),
            )
        )
    of_round.filter(fence__lt=running.fence).delete()
    ComponentTask.objects.bulk_create(rows)


def _subject(running: Running, part: Part) -> bytes:
    products = sorted({running.frozen.book.products[cell.code].id.bytes for cell in part.cells})
    return hashlib.sha256(b"".join(products)).digest()


def _tell(running: Running, workers: int) -> None:
    """A hint to other workers. In a thread of its own: a broker that is away, or frozen, holds up no round."""
    about = {"round_id": str(running.round_id), "fence": running.fence}
    try:
        for _ in range(min(workers, MOST_HINTS)):
            current_app.send_task(
                enqueue.CLEAR_COMPONENTS, kwargs=about, queue="clear", expires=LEASE_SECONDS, retry=False
            )
    except Exception:  # this process clears them alone
        log.warning("market.components.not_told", exc_info=True)


def _one(round_id: UUID, fence: int) -> bool:
    """Clear one component that nobody has; False where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [LEASE_SECONDS, round_id, fence, TRIES])
        row = cursor.fetchone()
    if row is None:
        return False
    failpoints.reached("component.taken")
    said: dict[str, Any]
    try:
        said = {"outcome": msgspec.msgpack.encode(clear_component(_unpack(row[1])))}
    except Exception as error:  # whatever it is: it concerns this component only
        said = {"failure": f"{type(error).__name__}: {error}"[:500]}
    ComponentTask.objects.filter(id=row[0]).update(**said)
    return True


def _unpack(packed: bytes) -> Component:
    return msgspec.msgpack.decode(packed, type=Component)


def _wait(running: Running, subjects: Sequence[bytes]) -> list[Outcome | Exception]:
    """What all workers found, once the last has answered or is given up."""
    mine = ComponentTask.objects.filter(round_id=running.round_id, fence=running.fence)
    waiting = mine.filter(outcome__isnull=True, failure="")
    while waiting.exists():
        with connection.cursor() as cursor:
            cursor.execute(_GIVE_UP, [running.round_id, running.fence, TRIES])
        if not work(running.round_id, running.fence):
            time.sleep(_PAUSE_SECONDS)
    rows = {bytes(row.subject): row for row in mine.defer("component")}
    if rows.keys() != set(subjects):
        raise Superseded("Another process froze this round anew.")
    return [_said(rows[subject]) for subject in subjects]


def _said(row: ComponentTask) -> Outcome | Exception:
    if row.outcome is None:
        return ComponentFailed(row.failure)
    return msgspec.msgpack.decode(row.outcome, type=Outcome)
