"""The base of everything that a caller can cause."""

from __future__ import annotations

from typing import Any


class DomainError(Exception):
    """A refusal with a stable `code` for programs, a sentence for people, and an HTTP status for the edges.

    `retryable` says that the same request may succeed later. `details` are
    plain values that help the caller: a bound, a legal value.
    """

    code = "error"
    status = 422
    retryable = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details
