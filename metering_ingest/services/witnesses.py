"""Token counters of programs' own telemetry: kept as witnesses, never as records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from accounts.kernel.actor import Actor
from metering_ingest.kernel.otlp import Point
from metering_ingest.models import Witness


def keep(points: Sequence[Point], *, actor: Actor, now: datetime) -> None:
    """Keep points in the name of the actor's organisation; of a series and an interval the first one stays."""
    Witness.objects.bulk_create(
        [
            Witness(
                tenant=actor.organisation_id, metric=one.metric, token_type=one.token_type, attributes=one.attributes,
                started_at=one.start, ended_at=one.end, value=one.value, cumulative=one.cumulative, received_at=now,
            )
            for one in points
        ],
        ignore_conflicts=True,
        batch_size=1_000,
    )  # fmt: skip
