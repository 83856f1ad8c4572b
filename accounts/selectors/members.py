"""Members as their organisation sees them, and organisations as a member does."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db.models import QuerySet

from accounts.kernel.actor import Actor
from accounts.models import Member, Organisation


def of(actor: Actor) -> QuerySet[Member]:
    """Every member of the actor's organisation, with the person, first joined first."""
    return Member.objects.filter(organisation_id=actor.organisation_id).select_related("user").order_by("id")


def organisations_of(user_id: UUID) -> list[tuple[UUID, str]]:
    """Id and name of each active organisation that a person is in, first joined first."""
    rows = Member.objects.filter(user_id=user_id, organisation__state=Organisation.State.ACTIVE).order_by("id")
    return list(rows.values_list("organisation_id", "organisation__name"))


def by_id(member_id: UUID | str) -> Member | None:
    """A member with person and organisation, for messages that name one; None once removed."""
    return Member.objects.select_related("user", "organisation").filter(id=member_id).first()


def addresses(organisation_id: UUID, roles: Collection[str]) -> list[str]:
    """The e-mail addresses of active members with one of these roles."""
    rows = Member.objects.filter(organisation_id=organisation_id, role__in=roles, user__is_active=True)
    return list(rows.order_by("id").values_list("user__email", flat=True))
