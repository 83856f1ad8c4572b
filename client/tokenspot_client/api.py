"""A thin client of the REST API: one method a verb, plain dictionaries out."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import httpx


class ApiProblem(Exception):
    """The server refused: `status`, a stable `code`, a sentence, and whether trying again may help."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.status = status
        self.code = str(problem.get("code", "http_error"))
        self.retryable = bool(problem.get("retryable"))
        self.problem = problem


class Client:
    """Speaks `/api/v1` with one API key.

    `base_url` and `key` default to TOKENSPOT_URL and TOKENSPOT_KEY; `has_key` tells whether there is one.
    """

    def __init__(self, base_url: str | None = None, key: str | None = None, *, timeout: float = 20.0) -> None:
        key = key or os.environ.get("TOKENSPOT_KEY", "")
        self.has_key = bool(key)
        self._http = httpx.Client(
            base_url=(base_url or os.environ.get("TOKENSPOT_URL", "http://127.0.0.1:8000")).rstrip("/"),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout,
        )

    def get(self, path: str, **parameters: Any) -> Any:
        """GET one resource.

        :raises ApiProblem: the server refused.
        """
        return self._answer(self._http.get(f"/api/v1{path}", params=parameters))

    def pages(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every item of a cursor-paged list."""
        cursor: str | None = None
        while True:
            page = self.get(path, **parameters, **({"cursor": cursor} if cursor else {}))
            yield from page["data"]
            cursor = page.get("next")
            if not cursor:
                return

    def post(self, path: str, body: dict[str, Any], *, idempotency_key: str | None = None) -> Any:
        """POST once: without a key of your own, a new one is made, so a repeat of this call is another action."""
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return self._answer(self._http.post(f"/api/v1{path}", json=body, headers=headers))

    def patch(self, path: str, body: dict[str, Any], *, idempotency_key: str | None = None) -> Any:
        """PATCH once, as `post`."""
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return self._answer(self._http.patch(f"/api/v1{path}", json=body, headers=headers))

    def certificate(self, number: int) -> dict[str, Any]:
        """What a round prints for everybody to check; needs no key.

        :raises ApiProblem: there is no such round, or it traded nothing.
        """
        answer = self._http.get(f"/rounds/{number}/certificate.json", headers={"Accept": "application/json"})
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ApiProblem(404, {"code": "not_found", "detail": f"Round {number} has no certificate."})
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

    def download(self, path: str, **parameters: Any) -> bytes:
        """The bytes of a document."""
        response = self._http.get(f"/api/v1{path}", params=parameters)
        if response.is_error:
            self._answer(response)
        return response.content

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        if response.is_error:
            try:
                problem = response.json()
            except ValueError:
                problem = {"detail": response.text[:200]}
            raise ApiProblem(response.status_code, problem)
        return response.json() if response.content else None
