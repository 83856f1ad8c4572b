"""Reads of exports."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from billing.models import Export


class NoSuchExport(DomainError):
    """There is no such export, or it is another organisation's."""

    code = "not_found"
    status = 404


def exports(actor: Actor) -> QuerySet[Export]:
    """The actor's organisation's exports without their content, newest first by id."""
    if not actor.can("billing:read"):
        return Export.objects.none()
    return Export.objects.filter(organisation_id=actor.organisation_id).defer("content").order_by("-id")


def export_row(export_id: UUID, *, actor: Actor) -> Export:
    """One export of the actor's organisation.

    :raises NoSuchExport: unknown, or foreign.
    """
    found = exports(actor).filter(id=export_id).first()
    if found is None:
        raise NoSuchExport("There is no such export.")
    return found


def waiting_export() -> UUID | None:
    """The export that has waited longest."""
    found: UUID | None = (
        Export.objects.filter(state=Export.State.WAITING)
        .order_by("created_at", "id")
        .values_list("id", flat=True)
        .first()
    )
    return found
