"""Celery entries of billing; each looks for its work in the tables."""

from __future__ import annotations

from celery import shared_task

from accounts.selectors import clock
from billing import enqueue, services


@shared_task(name=enqueue.RATE)
def rate(**_: object) -> int:
    """Rate settled buckets behind the watermark; safe to run twice, or two at once."""
    return services.rate_settled(now=clock.now())


@shared_task(name=enqueue.CLOSE_DAYS)
def close_days(**_: object) -> int:
    """Close the delivery days that ended at least a day ago, then pay what sellers owe for them."""
    now = clock.now()
    return services.close_days(now=now) + services.credits.pay(now=now)


@shared_task(name=enqueue.INVOICE)
def invoice_ended_periods(**_: object) -> int:
    """Finalise the invoices of periods whose grace is over."""
    return services.invoice_ended_periods(now=clock.now())


@shared_task(name=enqueue.CONTESTED)
def move_contested(**_: object) -> int:
    """Freeze what disputes contest, and settle what they came to."""
    return services.contested.move(now=clock.now())


@shared_task(name=enqueue.PAYMENTS)
def payments(**_: object) -> int:
    """Work Stripe's webhooks, look at what is undecided, top up automatically; safe to run twice, or two at once."""
    return services.payments.tick(now=clock.now())


@shared_task(name=enqueue.CLEARING)
def clearing(**_: object) -> int:
    """Read Stripe's balance transactions, once a night."""
    return services.payments.clearing.read_if_due(now=clock.now())


@shared_task(name=enqueue.EXPORT)
def export(**_: object) -> int:
    """Make the exports that wait, and remove the files of those past their time."""
    services.exports.expire(now=clock.now())
    return services.exports.work(now=clock.now)
