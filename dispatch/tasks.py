"""Celery entries of dispatch."""

from __future__ import annotations

from celery import shared_task

from accounts.selectors import clock
from dispatch import enqueue, services
from dispatch.services import saturation


@shared_task(name=enqueue.CLOSE_STALE)
def close_stale(**_: object) -> int:
    """Close the logs of requests whose process died; safe to run twice."""
    return services.close_stale(now=clock.now())


@shared_task(name=enqueue.OBSERVE_SATURATION)
def observe_saturation(**_: object) -> int:
    """Hand what rated deployments did at load to their ratings; safe to run twice, or two at once."""
    return saturation.observe_due(now=clock.now())
