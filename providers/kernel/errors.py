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


class CardMismatch(ProviderError):
    """The runs were counted by another card than the line is sold by."""

    code = "card_mismatch"


class FormatMismatch(ProviderError):
    """The runs were served in another format than the deployment's."""

    code = "format_mismatch"


class TooManyDevices(ProviderError):
    """The runs name more devices than the pool has."""

    code = "too_many_devices"


class RatingRefused(ProviderError):
    """The runs give no rating; `code` is that of the solver (docs/ratings.md)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RunsRepeated(ProviderError):
    """A run was submitted before: old runs renew no rating, and clear no drift."""

    code = "runs_repeated"
    status = 409


class Unrated(ProviderError):
    """The deployment has no rating that stands."""

    code = "unrated"
    status = 409


class BadToken(ProviderError):
    """A registration token that is unknown or over."""

    code = "bad_registration_token"
    status = 401


class TokenUsed(ProviderError):
    """A registration token registers one key."""

    code = "token_used"
    status = 409


class KeyTaken(ProviderError):
    """The public key is another agent's, or an earlier one."""

    code = "key_taken"
    status = 409


class AgentParked(ProviderError):
    """The agent is parked; nothing that it sends is taken until it is released."""

    code = "agent_parked"
    status = 403


class MadeBefore(ProviderError):
    """A repeated request would have to show a secret that is not stored."""

    code = "already_created"
    status = 409
