"""Celery entries of providers; each looks for its work in the tables."""

from __future__ import annotations

from celery import shared_task

from accounts.selectors import clock
from providers import enqueue, services


@shared_task(name=enqueue.POST_DUE)
def post_due(**_: object) -> int:
    """Post the windows that live offers cover; safe to run twice, or two at once."""
    return services.offers.post_due(now=clock.now())
