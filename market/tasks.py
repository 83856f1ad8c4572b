"""Celery entries of the market; each looks for its work in the tables."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from accounts.selectors import clock
from market import enqueue, services


@shared_task(name=enqueue.CLEAR_DUE)
def clear_due(**_: object) -> int:
    """Clear the rounds that are due; safe to run twice, or two at once."""
    return len(services.rounds.clear_due(now=clock.now()))


@shared_task(name=enqueue.CLEAR_COMPONENTS)
def clear_components(*, round_id: str, fence: int) -> int:
    """Help with the components of a round that is being cleared; gives how many this worker cleared."""
    return services.components.work(UUID(round_id), fence)


@shared_task(name=enqueue.SWEEP)
def sweep(**_: object) -> int:
    """End expired orders and reservations, give holds back, and prune the feed."""
    return services.sweep.sweep(now=clock.now())
