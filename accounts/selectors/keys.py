"""API keys as their organisation sees them."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.kernel.actor import Actor
from accounts.models import ApiKey


def of(actor: Actor) -> QuerySet[ApiKey]:
    """Every key of the actor's organisation."""
    return ApiKey.objects.filter(organisation_id=actor.organisation_id)
