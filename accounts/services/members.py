"""People and their roles."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.kernel.roles import ROLES
from accounts.models import Member, User
from accounts.services.organisations import AccountsError


class UnknownRole(AccountsError):
    """There is no such role."""

    code = "unknown_role"


def add(
    *,
    organisation_id: UUID,
    email: str,
    role: str,
    now: datetime,
    password: str | None = None,
    name: str = "",
    is_staff: bool = False,
) -> UUID:
    """Give a person a role in an organisation, and make the person's sign-in where it is new; gives the user id.

    :raises UnknownRole: not one of `ROLES`.
    """
    if role not in ROLES:
        raise UnknownRole(f"A role is one of {', '.join(ROLES)}.")
    with transaction.atomic():
        user = User.objects.filter(email=email.lower()).first()
        if user is None:
            user = User.objects.create_user(email, password, name=name, is_staff=is_staff, is_superuser=is_staff)
        Member.objects.update_or_create(
            user=user,
            organisation_id=organisation_id,
            defaults={"role": role},
            create_defaults={"role": role, "created_at": now},
        )
    return user.id
