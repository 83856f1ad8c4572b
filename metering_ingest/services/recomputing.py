"""What comparing says of an allocation now, from its records alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from market.selectors import AllocationView
from metering_ingest.kernel.comparing import Comparison, Terms, compare
from metering_ingest.selectors import reconciliation as reads
from token_standard.catalogue import card_by_digest


def terms_of(allocation: AllocationView) -> Terms:
    """By what an allocation's meters are compared."""
    return Terms(
        card_by_digest(allocation.card_digest),
        allocation.window_end,
        timedelta(minutes=settings.METERING_GRACE_MINUTES),
        timedelta(minutes=settings.METERING_GRACE_LONGEST_MINUTES),
    )


def recomputed(allocation: AllocationView, *, now: datetime) -> Comparison:
    """Compare all live records of an allocation."""
    return compare(reads.live_counts([allocation.id]).get(allocation.id, ()), terms_of(allocation), now=now)
