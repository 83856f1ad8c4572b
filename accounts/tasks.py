"""Celery entries of accounts."""

from __future__ import annotations

from celery import shared_task

from accounts import enqueue, services
from accounts.selectors import clock


@shared_task(name=enqueue.RELAY)
def relay_outbox(**_: object) -> int:
    """Hand waiting outbox rows to their handlers; safe to run twice, or two at once."""
    return services.outbox.relay(now=clock.now())
