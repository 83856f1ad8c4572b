"""What providers' part refuses, each with its stable code. `details["field"]` names the wrong field."""

from __future__ import annotations

from accounts.kernel.errors import DomainError


class ProviderError(DomainError):
    """Providers' part refuses; the code says why."""


class Forbidden(ProviderError):
    """The actor may not offer capacity."""

    code = "scope_missing"
    status = 403


class NotFound(ProviderError):
    """There is no such thing, or it is another organisation's."""

    code = "not_found"
    status = 404


class BadValue(ProviderError):
    """A field that cannot be as it is; `details` may suggest a legal value."""

    code = "bad_value"


class NameTaken(ProviderError):
    """A pool of this name, or this deployment of a pool, is there already."""

    code = "name_taken"
    status = 409


class WorseFormat(ProviderError):
    """The served format is coarser than the line's contract."""

    code = "worse_format"


class PrivateEndpoint(ProviderError):
    """The address is not a public one, or not encrypted."""

    code = "private_endpoint"


class WrongState(ProviderError):
    """The offer or deployment cannot go from its state to the one asked for."""

    code = "wrong_state"
    status = 409
