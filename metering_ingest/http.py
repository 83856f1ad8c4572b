"""What metering's pages and its API share of HTTP."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpResponse, StreamingHttpResponse


def evidence_response(public_id: str, sha256: str, content: bytes) -> HttpResponse:
    """A dispute's evidence as a download; its name is made of our own id only."""
    response = HttpResponse(content, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{public_id}-{sha256[:12]}.json"'
    response["X-Content-SHA256"] = sha256
    return response


def results_response(public_id: str, parts: Iterable[bytes]) -> StreamingHttpResponse:
    """A backfill's results as a download, one JSON object a line."""
    response = StreamingHttpResponse(parts, content_type="application/x-ndjson")
    response["Content-Disposition"] = f'attachment; filename="{public_id}-results.ndjson"'
    return response
