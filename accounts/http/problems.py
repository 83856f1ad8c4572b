"""Errors as RFC 9457 problem documents: a stable `code`, a sentence, and whether trying again may help."""

from __future__ import annotations

import json
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions, status
from rest_framework.response import Response

from accounts.kernel.errors import DomainError

log = structlog.get_logger(__name__)
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "2"
# A problem's own members; a refusal's details never stand in for them.
_OWN = {"type", "title", "status", "status_code", "code", "detail", "retryable", "request_id", "errors"}
_TITLES = {
    400: "Bad request",
    401: "Not signed in",
    402: "Not enough money",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Refused by a rule",
    429: "Too many requests",
    500: "Server fault",
    503: "Busy",
}


def problem(
    status_code: int,
    code: str,
    detail: str,
    *,
    request_id: str = "",
    errors: list[dict[str, Any]] | None = None,
    retryable: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """A problem document as plain values."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status_code, "Error"),
        "status": status_code,
        "code": code,
        "detail": detail,
        "retryable": retryable,
        "request_id": request_id,
    }
    if errors:
        body["errors"] = errors
    return {**more, **body}


def problem_bytes(status_code: int, code: str, detail: str, **more: Any) -> bytes:
    """A problem document as bytes, for paths that are answered before Django."""
    return json.dumps(problem(status_code, code, detail, **more), ensure_ascii=False, default=str).encode()


def problem_response(request: HttpRequest, status_code: int, code: str, detail: str, **more: Any) -> HttpResponse:
    """A problem document as Django's own answer."""
    body = problem_bytes(status_code, code, detail, request_id=getattr(request, "request_id", ""), **more)
    return HttpResponse(body, status=status_code, content_type=MEDIA_TYPE)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what a view raised into a problem; what nobody expected is logged and said to be our fault."""
    request_id = getattr(context["request"]._request, "request_id", "")
    if isinstance(error, DomainError):
        details: dict[str, Any] = {
            name: value
            for name, value in error.details.items()
            if isinstance(value, str | int | bool | list) and name not in _OWN
        }
        found = problem(
            error.status, error.code, str(error), request_id=request_id, retryable=error.retryable, **details
        )
    elif isinstance(error, exceptions.ValidationError):
        errors = list(_field_errors(error.get_full_details()))
        code = "unknown_field" if any(e["code"] == "unknown_field" for e in errors) else "invalid"
        detail = errors[0]["message"] if errors else "The request is not valid."
        found = problem(400, code, detail, request_id=request_id, errors=errors)
    elif isinstance(error, exceptions.APIException):
        found = problem(error.status_code, _code(error), str(error.detail), request_id=request_id)
    elif isinstance(error, Http404):
        found = problem(404, "not_found", "There is nothing here.", request_id=request_id)
    elif isinstance(error, PermissionDenied):
        found = problem(403, "forbidden", "This is not allowed.", request_id=request_id)
    elif isinstance(error, RequestDataTooBig):
        found = problem(413, "body_too_large", "A body has at most 1 MiB.", request_id=request_id)
    elif isinstance(error, SuspiciousOperation):
        found = problem(400, "malformed", "This request cannot be read.", request_id=request_id)
    elif isinstance(error, OperationalError):
        log.warning("accounts.http.database_unavailable", request_id=request_id)
        found = problem(503, "busy", "The database did not answer; try again.", request_id=request_id, retryable=True)
    else:
        log.exception("accounts.http.fault", request_id=request_id)
        found = problem(500, "internal_error", "Something went wrong here.", request_id=request_id)
    headers = {}
    if found["status"] == status.HTTP_503_SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    return Response(found, status=found["status"], content_type=MEDIA_TYPE, headers=headers)


def _code(error: exceptions.APIException) -> str:
    codes = error.get_codes()
    return codes if isinstance(codes, str) else "invalid"


def _field_errors(details: Any, path: str = "") -> Any:
    """Flatten DRF's nested details into field, message, code."""
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        yield {"field": path, "message": str(details["message"]), "code": str(details["code"])}
    elif isinstance(details, dict):
        for name, inner in details.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from _field_errors(inner, ".".join(filter(None, [path, own])))
    elif isinstance(details, list):
        for inner in details:
            yield from _field_errors(inner, path)
