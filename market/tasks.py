"""Celery entries of the market; each looks for its work in the tables."""

from __future__ import annotations

from celery import shared_task

from accounts.selectors import clock
from market import enqueue, services


@shared_task(name=enqueue.CLEAR_DUE)
def clear_due(**_: object) -> int:
    """Clear the rounds that are due; safe to run twice, or two at once."""
    return len(services.rounds.clear_due(now=clock.now()))


@shared_task(name=enqueue.SWEEP)
def sweep(**_: object) -> int:
    """End expired orders and reservations, give holds back, and prune the feed."""
    return services.sweep.sweep(now=clock.now())
