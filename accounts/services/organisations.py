"""Organisations."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.models import Organisation


class AccountsError(DomainError):
    """Accounts refuses; the code says why."""


class OperatorExists(AccountsError):
    """A site has one operator."""

    code = "operator_exists"
    status = 409


def create(*, name: str, kind: str, now: datetime, organisation_id: UUID | None = None, **details: str) -> UUID:
    """Make an organisation; `details` are its legal name, tax number, address, phone, bank and language.

    :raises OperatorExists: a second operator.
    """
    organisation = Organisation(id=organisation_id or ids.new(), name=name, kind=kind, created_at=now, **details)
    try:
        with transaction.atomic():
            organisation.save(force_insert=True)
    except IntegrityError as error:
        if "organisation_one_operator" in str(error):
            raise OperatorExists("This site has its operator already.") from None
        raise
    return organisation.id
