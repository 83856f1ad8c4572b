"""The audit log as its organisation sees it."""

from __future__ import annotations

from accounts.kernel.actor import Actor
from accounts.models import AuditEvent


def events(actor: Actor, *, before: int | None, limit: int) -> list[AuditEvent]:
    """Events of the actor's organisation, newest first, with who did them."""
    rows = AuditEvent.objects.filter(organisation_id=actor.organisation_id).select_related("user", "key")
    if before is not None:
        rows = rows.filter(id__lt=before)
    return list(rows.order_by("-id")[:limit])
