"""What every template knows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def actor(request: HttpRequest) -> dict[str, Any]:
    """The actor (None before sign-in) and the request's id."""
    return {"actor": getattr(request, "actor", None), "request_id": getattr(request, "request_id", "")}
