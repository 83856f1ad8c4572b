"""Celery entries of metering; each looks for its work in the tables."""

from __future__ import annotations

from celery import shared_task

from accounts.selectors import clock
from metering_ingest import enqueue, services
from metering_ingest.services import proving
from metering_ingest.services.backfills import advance as advance_backfills
from metering_ingest.services.disputes import advance_due
from metering_ingest.services.reconcile import reconcile_due


@shared_task(name=enqueue.SETTLE)
def settle(**_: object) -> int:
    """Settle the buckets that have been quiet long enough; safe to run twice, or two at once."""
    return services.settle(now=clock.now())


@shared_task(name=enqueue.PARTITIONS)
def partitions(**_: object) -> int:
    """Make the partitions of the coming days."""
    return services.make_partitions(now=clock.now())


@shared_task(name=enqueue.RECONCILE)
def reconcile(**_: object) -> int:
    """Compare the meters of allocations that changed; safe to run twice, or two at once."""
    return reconcile_due(now=clock.now())


@shared_task(name=enqueue.DISPUTES)
def disputes(**_: object) -> int:
    """Move on disputes whose time is up; safe to run twice, or two at once."""
    return advance_due(now=clock.now())


@shared_task(name=enqueue.BACKFILL)
def backfill(**_: object) -> int:
    """Take in the next parts of staff's backfills; safe to run twice, or two at once, and to be killed."""
    return advance_backfills(now=clock.now())


@shared_task(name=enqueue.PROVE)
def prove(**_: object) -> int:
    """Prove that roll-up = raw, comparisons and disputes hold; gives how many breaches there are."""
    return proving.prove(now=clock.now())
