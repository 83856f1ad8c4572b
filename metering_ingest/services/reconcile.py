"""Comparing the meters: allocations whose counts changed, by bounded batches; safe to run twice, or two at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction

from accounts.kernel import ids
from market import selectors as market
from market.selectors import AllocationView
from metering_ingest import locks
from metering_ingest.kernel.comparing import Minute, Sums
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.services import disputes, work
from metering_ingest.services.recomputing import recomputed, terms_of

log = structlog.get_logger(__name__)
_PATIENCE = 5  # quiet times that an allocation in steady use waits at most


def reconcile_due(*, now: datetime, limit: int = 100, quiet_seconds: int | None = None) -> int:
    """Compare what changed and has been quiet, or has waited long enough; gives how many allocations.

    An allocation is compared whole each time: what is stored is what its records say, however often this runs.
    """
    wait = timedelta(seconds=settings.METERING_COMPARE_QUIET_SECONDS if quiet_seconds is None else quiet_seconds)
    found = reads.due(now, quiet_since=now - wait, waited_since=now - wait * _PATIENCE, limit=limit)
    done = compare_allocations([one.allocation_id for one in found], now=now)
    if len(found) < limit and len(done) == len(found):
        _advance(now - max(reads.MARK_SLACK, 2 * wait * _PATIENCE))
    return len(done)


def compare_allocations(allocation_ids: Sequence[UUID], *, now: datetime) -> list[UUID]:
    """Compare these allocations as they stand; leaves out those that another worker has. Disputes by rule follow.

    One that cannot be compared is logged, stays due, and holds up none of the others.
    """
    done = []
    for allocation_id in allocation_ids:
        try:
            with transaction.atomic():
                if locks.claim_compared([allocation_id], now):
                    _compare(market.allocation(allocation_id), now)
                    done.append(allocation_id)
        except Exception:
            log.exception("metering.allocation_not_compared", allocation=ids.encode("alc", allocation_id))
    return done


def _compare(allocation: AllocationView, now: datetime) -> None:
    # Read before the records: what comes between is compared again, never missed.
    versions = reads.versions_of([allocation.id]).get(allocation.id, 0)
    found = recomputed(allocation, now=now)
    _store(allocation.id, found.minutes, now)
    judged = work.judge_window(allocation, now=now)
    over = terms_of(allocation).due(allocation.window_end)
    due_at = found.due_at
    if judged.unbacked_micro_st and now < over:
        # Nothing of the counts may wait, and still the window's work is judged once it is over.
        due_at = min(over, due_at or over)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE metering_compared SET versions = %s, due_at = %s, compared_at = %s WHERE allocation_id = %s",
            [versions, due_at, now, allocation.id],
        )
    disputes.open_by_rule(allocation, found, now=now)
    if judged.unbacked_micro_st and now >= over and found.due_at is None:
        share = Fraction(judged.unbacked_micro_st, judged.micro_st)
        disputes.open_for_work(allocation, found, share, now=now)


_METERS = ("gateway", "agent", "buyer")
_SUMS = tuple(
    f"{meter}_{name}" for meter in _METERS for name in ("records", "prompt", "cached", "completion", "micro_st")
)
_COLUMNS = ("minute", *_SUMS, "state", "causes", "over_micro_st", "under_micro_st", "due_at")
_TYPES = ("timestamptz", *["bigint"] * 15, "text", "text", "bigint", "bigint", "timestamptz")
_UPSERT = f"""
INSERT INTO metering_comparison AS c (allocation_id, compared_at, {", ".join(_COLUMNS)})
SELECT %s, %s, {", ".join(_COLUMNS)} FROM unnest({", ".join(f"%s::{kind}[]" for kind in _TYPES)})
    AS t ({", ".join(_COLUMNS)})
ON CONFLICT (allocation_id, minute) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in (*_COLUMNS, "compared_at"))}
"""  # noqa: S608  (our own words)


def _store(allocation_id: UUID, minutes: Collection[Minute], now: datetime) -> None:
    rows = [_row(one) for one in minutes]
    with connection.cursor() as cursor:
        # A minute can lose its last record, by a void or because the gateway's record moved a request.
        cursor.execute(
            "DELETE FROM metering_comparison WHERE allocation_id = %s AND NOT minute = ANY(%s::timestamptz[])",
            [allocation_id, [row[0] for row in rows]],
        )
        if rows:
            cursor.execute(_UPSERT, [allocation_id, now, *map(list, zip(*rows, strict=True))])


def _row(one: Minute) -> tuple[object, ...]:
    sums: list[Sums] = [one.gateway, one.agent, one.buyer]
    counts = [count for several in sums for count in several]
    return (one.minute, *counts, one.state, " ".join(one.causes), one.over_micro_st, one.under_micro_st, one.due_at)


def _advance(since: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metering_compare_mark AS m (id, since) VALUES (1, %s) "
            "ON CONFLICT (id) DO UPDATE SET since = greatest(m.since, excluded.since)",
            [since],
        )
