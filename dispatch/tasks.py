"""Celery entries of dispatch."""

from __future__ import annotations

from celery import shared_task

from accounts.selectors import clock
from dispatch import enqueue, services


@shared_task(name=enqueue.CLOSE_STALE)
def close_stale(**_: object) -> int:
    """Close the logs of requests whose process died; safe to run twice."""
    return services.close_stale(now=clock.now())
