"""A dispute decided for the seller changes the gateway's count: its records are voided and counted anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from metering_ingest.reconciliation_models import Dispute


def of_agent(dispute: Dispute, *, now: datetime) -> list[list[object]]:
    """Every contested request as the agent counted it."""
    return []


def amend(dispute: Dispute, amendments: Sequence[Sequence[object]], *, now: datetime) -> None:
    """Let the gateway's count of these requests become what is decided, through the ordinary ingest."""
