"""Three meters over one bought hour, for tests of reconciliation and disputes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from metering_ingest import services
from tests.metering_ingest.scene import HOUR, Bought, event

SENT = HOUR + timedelta(minutes=50)
# The window, the grace, and a little.
OVER = HOUR + timedelta(hours=1, minutes=16)


def send(
    bought: Bought, meter: str, numbers: Iterable[int], *, allocation: int = 0, now: Any = SENT, **changed: Any
) -> None:
    """One record a minute of each number, from one meter."""
    sender = {"gateway": bought.operator, "agent": bought.provider, "buyer": bought.buyer}[meter]
    changed = {"prompt": 20_000, "generated": 2_000, **changed}
    events = [
        event(
            bought.allocations[allocation], f"r{allocation}-{n}", at=HOUR + timedelta(minutes=n, seconds=5), **changed
        )
        for n in numbers
    ]
    result = services.ingest_records(events, sender=sender, now=now)
    assert result.accepted == len(events), result
