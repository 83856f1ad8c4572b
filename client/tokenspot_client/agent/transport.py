"""HTTP to the platform: one connection kept open, every request signed, times corrected to the platform's clock."""

from __future__ import annotations

import base64
import email.utils
import gzip
import http.client
import json
import logging
import secrets
import ssl
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokenspot_client.agent import VERSION
from tokenspot_client.agent.records import seconds
from tokenspot_client.agent.signing import signed_headers

if TYPE_CHECKING:
    from tokenspot_client.agent.identity import Identity

log = logging.getLogger("tokenspot.agent")
_MOST_ANSWER = 32 * 1024 * 1024
_WORTH_PACKING = 1024
_JSON = "application/json"


class Unreachable(Exception):
    """No whole answer came; whether the request had its effect is not known."""


@dataclass(frozen=True)
class Answer:
    """Status, body as JSON (an empty object where it is none) and what the platform says of waiting."""

    status: int
    body: dict[str, Any]
    retry_after: float | None
    server_time: float | None

    @property
    def code(self) -> str:
        """The stable code of a refusal; for a bad signature its reason."""
        code = str(self.body.get("code", ""))
        return str(self.body.get("reason") or code) if code == "bad_signature" else code

    @property
    def told(self) -> str:
        """The refusal in words, without more than a line of them."""
        return f"{self.status} {self.code} {str(self.body.get('detail') or self.body.get('title') or '')[:200]}".strip()


class Transport:
    """One thread's connection to the platform."""

    def __init__(self, url: str, *, timeout: float = 20.0) -> None:
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="https")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a platform: https://...")
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._parts = parts
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self.offset = 0.0  # seconds that the platform's clock is ahead of ours

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, identity: Identity, method: str, path: str, body: bytes = b"") -> Answer:
        """One signed request; a clock that is off is corrected and the request signed again, once.

        :raises Unreachable: no answer.
        """
        answer = self._signed(identity, method, path, body)
        if answer.status == http.client.UNAUTHORIZED and answer.code == "expired" and answer.server_time is not None:
            self.offset = answer.server_time - time.time()
            log.warning("this machine's clock is %.0f s off the platform's: set it right", -self.offset)
            answer = self._signed(identity, method, path, body)
        return answer

    def post_unsigned(self, path: str, value: Any) -> Answer:
        """One request of someone who has no key yet.

        :raises Unreachable: no answer.
        """
        return self._request("POST", path, json.dumps(value).encode(), {"Content-Type": _JSON})

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _signed(self, identity: Identity, method: str, path: str, body: bytes) -> Answer:
        packed = gzip.compress(body, compresslevel=1, mtime=0) if len(body) > _WORTH_PACKING else body
        headers = signed_headers(
            identity.key,
            method=method,
            url=f"{self._base}{path}",
            body=packed,
            content_type=_JSON,
            keyid=identity.keyid,
            created=int(time.time() + self.offset),
            nonce=base64.urlsafe_b64encode(secrets.token_bytes(18)).decode(),
        )
        if packed is not body:
            headers["Content-Encoding"] = "gzip"
        return self._request(method, path, packed, headers)

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        told = {"User-Agent": f"tokenspot-agent/{VERSION}", "Accept": _JSON, **headers}
        try:
            connection = self._connection = self._connection or self._connect()
            connection.request(method, f"{self._parts.path.rstrip('/')}{path}", body, told)
            response = connection.getresponse()
            content = response.read(_MOST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(f"{type(error).__name__}: {error}") from None
        if response.will_close:
            self.close()
        return _answer(response.status, response.headers, content)

    def _connect(self) -> http.client.HTTPConnection:
        """Straight, or through the proxy that HTTPS_PROXY and NO_PROXY name."""
        host, port = str(self._parts.hostname), self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port or 80, timeout=self._timeout)
        context = ssl.create_default_context()
        proxy = None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get("https")
        if proxy is None:
            return http.client.HTTPSConnection(host, port or 443, timeout=self._timeout, context=context)
        through = urlsplit(proxy)
        connection = http.client.HTTPSConnection(
            str(through.hostname), through.port or 3128, timeout=self._timeout, context=context
        )
        connection.set_tunnel(host, port or 443)
        return connection


def _answer(status: int, headers: Any, content: bytes) -> Answer:
    try:
        body = json.loads(content) if content else {}
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    return Answer(status, body, _retry_after(headers.get("Retry-After")), _server_time(body, headers.get("Date")))


def _retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _server_time(body: dict[str, Any], date: str | None) -> float | None:
    try:
        return seconds(body["server_time"])
    except (KeyError, ValueError):
        pass
    try:
        return email.utils.parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return None
