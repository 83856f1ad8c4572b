"""Celery entries of providers; each looks for its work in the tables."""

from __future__ import annotations

from celery import shared_task

from accounts.selectors import clock
from providers import enqueue, services


@shared_task(name=enqueue.POST_DUE)
def post_due(**_: object) -> int:
    """Lower the tiers of pools that fell short, then post the windows that live offers cover; safe to run twice."""
    now = clock.now()
    services.tiers.fall(now=now)
    return services.offers.post_due(now=now)


@shared_task(name=enqueue.FORGET_NONCES)
def forget_nonces(**_: object) -> int:
    """Delete nonces that can come no more; safe to run twice."""
    return services.agents.forget_nonces(now=clock.now())
