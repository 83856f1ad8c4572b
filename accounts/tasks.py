"""Celery entries of accounts."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from accounts import enqueue, services
from accounts.selectors import clock


@shared_task(name=enqueue.RELAY)
def relay_outbox(**_: object) -> int:
    """Hand waiting outbox rows to their handlers; safe to run twice, or two at once."""
    return services.outbox.relay(now=clock.now())


@shared_task(name=enqueue.SEAL)
def seal_audit(**_: object) -> int:
    """Link committed audit events into their chain."""
    return services.sealing.seal()


@shared_task(name=enqueue.COPY_HEAD)
def copy_audit_head(**_: object) -> bool:
    """Copy the chain's head out of the database."""
    return services.sealing.copy_head(settings.AUDIT_ANCHORS)
