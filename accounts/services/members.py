"""People and their roles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.roles import ROLES
from accounts.models import ApiKey, Member, Organisation, User
from accounts.services import audit, outbox
from accounts.services.organisations import AccountsError

ADDED = "accounts.member.added"


class UnknownRole(AccountsError):
    """There is no such role."""

    code = "unknown_role"


class BadAddress(AccountsError):
    """Not an e-mail address."""

    code = "bad_address"
    status = 422


class MembersForbidden(AccountsError):
    """The actor may not change members, or would give a right that it does not have."""

    code = "scope_missing"
    status = 403


class NoSuchMember(AccountsError):
    """There is no such member, or it is another organisation's."""

    code = "not_found"
    status = 404


class MemberAlready(AccountsError):
    """The person is in the organisation; the role is changed, not given again."""

    code = "member_already"
    status = 409


class LastOwner(AccountsError):
    """Without an owner nobody could ever change the organisation's members again."""

    code = "last_owner"
    status = 409


@dataclass(frozen=True, slots=True)
class Invited:
    """A new member; `is_new` where the person has never signed in and needs a password."""

    member_id: UUID
    user_id: UUID
    is_new: bool


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
    _check_role(role)
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


def invite(*, actor: Actor, email: str, role: str, now: datetime) -> Invited:
    """Make a person a member of the actor's organisation.

    :raises MembersForbidden, UnknownRole, BadAddress, MemberAlready: see there; nothing is changed.
    """
    _check_right(actor, role)
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError:
        raise BadAddress(f"{email[:80]!r} is no e-mail address.") from None
    with transaction.atomic():
        _lock(actor.organisation_id)
        members = Member.objects.filter(organisation_id=actor.organisation_id, user__email=address)
        if members.exists():
            raise MemberAlready(f"{address} is a member already.")
        user_id = add(organisation_id=actor.organisation_id, email=address, role=role, now=now)
        member = members.select_related("user").get()
        _record(actor, "member.added", member, now)
        outbox.add(ADDED, {"member_id": str(member.id)}, now=now)
    return Invited(member.id, user_id, not member.user.has_usable_password())


def change_role(*, actor: Actor, member_id: UUID, role: str, now: datetime) -> None:
    """Give a member another role; the same role changes nothing. Keys that can do more than it are revoked.

    :raises MembersForbidden, UnknownRole, NoSuchMember, LastOwner: see there; nothing is changed.
    """
    _check_right(actor, role)
    with transaction.atomic():
        member = _locked_member(actor, member_id)
        if member.role == role:
            return
        _check_an_owner_stays(member)
        _revoke_keys(member, now, beyond=role)
        member.role = role
        member.save(update_fields=["role"])
        _record(actor, "member.role_changed", member, now)


def remove(*, actor: Actor, member_id: UUID, now: datetime) -> None:
    """End a membership at once, also of open sessions and of the keys that the member made; sign-in and history stay.

    :raises MembersForbidden, NoSuchMember, LastOwner: see there; nothing is changed.
    """
    _check_right(actor)
    with transaction.atomic():
        member = _locked_member(actor, member_id)
        _check_an_owner_stays(member)
        _revoke_keys(member, now)
        _record(actor, "member.removed", member, now)
        member.delete()


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UnknownRole(f"A role is one of {', '.join(ROLES)}.")


def _check_right(actor: Actor, role: str | None = None) -> None:
    if not actor.can("members:write"):
        raise MembersForbidden("Only an owner may change members.")
    if role is not None:
        _check_role(role)
        if not all(actor.can(scope) for scope in ROLES[role]):
            raise MembersForbidden(f"You cannot give the role {role}: it may do more than you.")


def _lock(organisation_id: UUID) -> None:
    """One change of an organisation's members at a time, or two owners could remove each other."""
    Organisation.objects.select_for_update(no_key=True).get(id=organisation_id)


def _locked_member(actor: Actor, member_id: UUID) -> Member:
    _lock(actor.organisation_id)
    found = Member.objects.select_related("user").filter(id=member_id, organisation_id=actor.organisation_id).first()
    if found is None:
        raise NoSuchMember("There is no such member.")
    return found


def _check_an_owner_stays(member: Member) -> None:
    owners = Member.objects.filter(organisation_id=member.organisation_id, role="owner")
    if member.role == "owner" and not owners.exclude(id=member.id).exists():
        raise LastOwner("An organisation keeps at least one owner: make another member owner first.")


def _revoke_keys(member: Member, now: datetime, *, beyond: str | None = None) -> None:
    """Revoke what the member made: all keys, or those that can do more than a role."""
    made = ApiKey.objects.filter(
        organisation_id=member.organisation_id, created_by_id=member.user_id, revoked_at__isnull=True
    )
    kept = [row.id for row in made if beyond is not None and set(row.scopes) <= ROLES[beyond]]
    made.exclude(id__in=kept).update(revoked_at=now)


def _record(actor: Actor, action: str, member: Member, now: datetime) -> None:
    detail = {"email": member.user.email, "role": member.role}
    audit.record(actor=actor, action=action, subject=ids.encode("mem", member.id), detail=detail, now=now)
