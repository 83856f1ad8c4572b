"""Why the gateway refuses, with the code and status that clients see."""

from __future__ import annotations

from accounts.kernel.errors import DomainError


class GatewayError(DomainError):
    """A refusal of the gateway. `param` names the member of the request that is wrong."""

    kind = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class BadRequest(GatewayError):
    """The body is no request that can be read."""

    code = "invalid_request"
    status = 400


class NotSupported(GatewayError):
    """A known wish that the gateway does not fulfil: silence would give another answer than asked for."""

    code = "not_supported"
    status = 400


class ContextTooLong(GatewayError):
    """Prompt and answer together do not fit the model."""

    code = "context_length_exceeded"
    status = 400


class BodyTooLarge(GatewayError):
    """The body passes the limit."""

    code = "body_too_large"
    status = 413


class Unauthorized(GatewayError):
    """No valid key."""

    code = "invalid_api_key"
    status = 401
    kind = "authentication_error"


class ScopeMissing(GatewayError):
    """The key may not ask for completions."""

    code = "scope_missing"
    status = 403
    kind = "permission_error"


class ModelNotFound(GatewayError):
    """No such line, or another organisation's private one."""

    code = "model_not_found"
    status = 404


class EngineFailed(GatewayError):
    """Every deployment that was tried failed before its first token. Nothing is billed."""

    code = "engine_failed"
    status = 502
    retryable = True
    kind = "server_error"


class Busy(GatewayError):
    """Too many requests are open here."""

    code = "busy"
    status = 503
    retryable = True
    kind = "server_error"


class InternalError(GatewayError):
    """Our own fault."""

    code = "internal_error"
    status = 500
    kind = "server_error"


class NotFound(GatewayError):
    """No such address."""

    code = "not_found"
    status = 404


class MethodNotAllowed(GatewayError):
    """The address takes another method."""

    code = "method_not_allowed"
    status = 405


class TooFast(GatewayError):
    """What was bought may not be drawn this fast, and it did not become free in time."""

    code = "too_fast"
    kind = "rate_limit_error"
    status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds
