"""Row locks of metering. Order: buckets of an allocation, then a dispute; ingest takes buckets alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection

from metering_ingest.models import Backfill
from metering_ingest.reconciliation_models import Compared, Dispute


def claim_compared(allocation_ids: Sequence[UUID], now: datetime) -> set[UUID]:
    """Those of these allocations that no other worker is comparing, kept until the end of the transaction."""
    Compared.objects.bulk_create(
        [Compared(allocation_id=one, versions=0, compared_at=now) for one in sorted(allocation_ids)],
        ignore_conflicts=True,
    )
    rows = Compared.objects.select_for_update(skip_locked=True).filter(allocation_id__in=allocation_ids)
    return set(rows.order_by("allocation_id").values_list("allocation_id", flat=True))


def buckets(allocation_id: UUID) -> None:
    """Keep an allocation's counts, and so everything frozen of them, as they are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM metering_bucket WHERE allocation_id = %s ORDER BY id FOR UPDATE", [allocation_id])


def dispute(dispute_id: UUID) -> Dispute:
    """One dispute, read and kept.

    :raises Dispute.DoesNotExist: there is none.
    """
    return Dispute.objects.select_for_update(no_key=True).get(id=dispute_id)


def unfinished_backfill() -> Backfill | None:
    """The oldest backfill that is not done and that no other worker holds; None where there is none."""
    rows = Backfill.objects.select_for_update(skip_locked=True, no_key=True)
    return rows.exclude(state=Backfill.State.DONE).order_by("made_at", "id").first()
