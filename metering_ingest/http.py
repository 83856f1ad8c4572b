"""What metering's pages and its API share of HTTP."""

from __future__ import annotations

from django.http import HttpResponse


def evidence_response(public_id: str, sha256: str, content: bytes) -> HttpResponse:
    """A dispute's evidence as a download; its name is made of our own id only."""
    response = HttpResponse(content, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{public_id}-{sha256[:12]}.json"'
    response["X-Content-SHA256"] = sha256
    return response
