"""Organisations as other apps see them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from accounts.kernel.errors import DomainError
from accounts.models import Organisation


class UnknownOrganisation(DomainError):
    """No organisation has this id."""

    code = "unknown_organisation"
    status = 422


@dataclass(frozen=True, slots=True)
class OrganisationView:
    """One organisation; empty texts are unknown."""

    id: UUID
    kind: str
    name: str
    legal_name: str
    tax_number: str
    address: str
    phone: str
    bank_name: str
    bank_account: str
    language: str
    state: str


def get(organisation_id: UUID) -> OrganisationView:
    """One organisation.

    :raises UnknownOrganisation: there is none.
    """
    found = get_many([organisation_id]).get(organisation_id)
    if found is None:
        raise UnknownOrganisation("There is no such organisation.")
    return found


def get_many(organisation_ids: Collection[UUID]) -> dict[UUID, OrganisationView]:
    """Those of the organisations that exist, by id."""
    return {row.id: _view(row) for row in Organisation.objects.filter(id__in=list(organisation_ids))}


def buyers(organisation_ids: Collection[UUID] | None = None) -> list[OrganisationView]:
    """Organisations that buy, by name; of these ids only, where given."""
    rows = Organisation.objects.filter(kind__in=[Organisation.Kind.BUYER, Organisation.Kind.BOTH])
    if organisation_ids is not None:
        rows = rows.filter(id__in=list(organisation_ids))
    return [_view(row) for row in rows.order_by("name", "id")]


def operator_id() -> UUID:
    """The one operator of this site.

    :raises UnknownOrganisation: it is not set up yet.
    """
    found: UUID | None = Organisation.objects.filter(kind="operator").values_list("id", flat=True).first()
    if found is None:
        raise UnknownOrganisation("This site has no operator yet.")
    return found


def any_exists() -> bool:
    """Whether the database holds any organisation."""
    return Organisation.objects.exists()


def _view(row: Organisation) -> OrganisationView:
    names = OrganisationView.__dataclass_fields__
    return OrganisationView(**{name: getattr(row, name) for name in names})
