"""The audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts.kernel.actor import Actor
from accounts.models import AuditEvent


def record(*, actor: Actor, action: str, subject: str, detail: dict[str, Any], now: datetime) -> None:
    """Write one event, in the transaction of what it tells of."""
    AuditEvent.objects.create(
        organisation_id=actor.organisation_id,
        user_id=actor.user_id,
        key_id=actor.key_id,
        action=action,
        subject=subject,
        detail=detail,
        at=now,
    )
