"""The draw rate of what was bought: looked at when a request is reserved, under the lock of its organisation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from functools import lru_cache

from django.db import connection

from market.kernel import pacing as kernel
from market.kernel import windows
from market.kernel.money import MILLION
from market.kernel.pacing import Drawn, Pace
from market.selectors import AllocationView
from token_standard import usage
from token_standard.catalogue import card_by_digest

# When a stream will end is not known; this is when looking again is worth it.
STREAM_WAIT_SECONDS = 0.25


def pace_of(views: Sequence[AllocationView]) -> Pace | None:
    """The pace of one buyer's allocations of one product and deployment; None for grades without one."""
    first = views[0]
    if first.grade not in kernel.BURST:
        return None
    bought = [
        (view.quantity_st * MILLION, max(1, windows.seconds_left(view.window_start, view.created_at)))
        for view in views
        if not view.cancelled_at
    ]
    return kernel.pace(
        first.grade, bought, st_per_output_token=_st_per_output_token(first.card_digest, first.reference_context)
    )


def wait(views: Sequence[AllocationView], micro_st: int, *, now: datetime) -> float | None:
    """Seconds until a request may be drawn on these allocations; None where it may run now.

    The allocations are one buyer's, of one product and deployment, and locked.
    """
    pace = pace_of(views)
    if pace is None:
        return None
    ids = [view.id for view in views]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(counted_micro_st), 0)::bigint, (SELECT count(DISTINCT reservation_id) "
            "FROM market_reservationpart WHERE allocation_id = ANY(%s) AND running) "
            "FROM market_reservationpart WHERE allocation_id = ANY(%s) AND at > %s",
            [ids, ids, now - kernel.MINUTE],
        )
        taken, running = cursor.fetchone()
        if running >= pace.streams:
            return STREAM_WAIT_SECONDS
        if taken + micro_st <= pace.minute_micro_st:
            return None
        cursor.execute(
            "SELECT at, counted_micro_st FROM market_reservationpart WHERE allocation_id = ANY(%s) AND at > %s",
            [ids, now - kernel.MINUTE],
        )
        drawn = [Drawn(*row) for row in cursor.fetchall()]
    found = kernel.wait(pace.minute_micro_st, drawn, micro_st, now=now)
    return None if found is None else max(0.0, found.total_seconds())


@lru_cache(maxsize=256)
def _st_per_output_token(card_digest: str, context: int) -> Fraction:
    return usage.st_per_generated(card_by_digest(card_digest), context=context)
