"""Answers of the native paths."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from accounts.http.problems import problem_bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


def json_answer(body: bytes) -> Answer:
    """A body of JSON that went well."""
    return Answer(200, body, [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())])


def problem(
    status: int, code: str, detail: str, request_id: str, *, errors: list[dict[str, Any]] | None = None,
    retry_after: int | None = None, **more: Any,
) -> Answer:  # fmt: skip
    """A problem document."""
    body = problem_bytes(
        status, code, detail, request_id=request_id, errors=errors, retryable=retry_after is not None, **more
    )
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    return Answer(status, body, headers)
