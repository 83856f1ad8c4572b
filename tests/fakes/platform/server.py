"""The HTTP face, in threads of the test's own process."""

from __future__ import annotations

import base64
import gzip
import json
import random
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fakes.platform.books import Books, Malformed
from tests.fakes.platform.signatures import BadSignature, check


@dataclass
class Behaviour:
    """Faults on demand; shares of 1, in the order in which they are tried. All off by default."""

    offline: bool = False  # take the connection and close it
    busy: float = 0.0  # 503 before anything
    retry_after: str = "0"
    lose_answer: float = 0.0  # have the effect, then close
    twice: float = 0.0  # take the body twice, as a network that repeats
    cut_answer: float = 0.0  # have the effect, send half an answer
    clock_ahead: float = 0.0  # seconds
    refuse_with: tuple[int, str] | None = None  # status and code for every batch
    malformed_ids: set[str] = field(default_factory=set)  # a body with one of these is refused whole


class Platform:
    """Listens on a free port until closed."""

    def __init__(self, seed: int = 1) -> None:
        self.behaviour = Behaviour()
        self.books = Books()
        self.tokens: set[str] = set()
        self.used_tokens: set[str] = set()
        self.keys: dict[str, bytes] = {}
        self.refused: list[str] = []
        self.requests: list[tuple[float, str]] = []
        self.problems: list[str] = []
        self._nonces: set[tuple[str, str]] = set()
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def new_token(self) -> str:
        token = f"tsreg_{secrets.token_urlsafe(16)}"
        self.tokens.add(token)
        return token

    def now(self) -> float:
        return time.time() + self.behaviour.clock_ahead

    def handle(self, http: Any, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        """Status, body, headers; None closes the connection."""
        behaviour = self.behaviour
        with self._lock:
            self.requests.append((time.time(), http.path))
            if behaviour.offline:
                return None
            if http.path.endswith("/usage-records") and self._chance.random() < behaviour.busy:
                return 503, {"code": "busy"}, {"Retry-After": behaviour.retry_after}
            try:
                answer = self._answer(http, body)
                if http.path.endswith("/usage-records") and answer[0] == 200:
                    if self._chance.random() < behaviour.twice:
                        self._usage(body if not http.headers.get("Content-Encoding") else gzip.decompress(body))
                    if self._chance.random() < behaviour.lose_answer:
                        return None
                    if self._chance.random() < behaviour.cut_answer:
                        return -200, answer[1], {}
                return answer
            except BadSignature as bad:
                self.refused.append(bad.reason)
                return 401, {"code": "bad_signature", "reason": bad.reason, "server_time": _instant(self.now())}, {}
            except Malformed as bad:
                return 400, {"code": "malformed", "detail": str(bad)}, {}
            except AssertionError as bug:
                self.problems.append(repr(bug))
                return 500, {"code": "the_agent_broke_the_contract"}, {}

    def _answer(self, http: Any, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        route = (http.command, http.path)
        if route == ("POST", "/api/v1/agent/register"):
            return self._register(json.loads(body))
        keyid = check(
            method=http.command,
            url=f"{self.url}{http.path}",
            headers=http.headers,
            body=body,
            now=self.now(),
            key_of=self._key_of,
            seen=self._seen,
        )
        if http.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.behaviour.refuse_with:
            status, code = self.behaviour.refuse_with
            return status, {"code": code}, {"Retry-After": "1"}
        if route == ("POST", "/api/v1/usage-records"):
            return 200, self._usage(body), {}
        if route == ("POST", "/api/v1/agent/rotate-key"):
            known = [name for name, key in self.keys.items() if key == _raw(json.loads(body)["public_key"])]
            return 200, {"keyid": known[0] if known else self._add_key(json.loads(body)["public_key"])}, {}
        if route == ("GET", "/api/v1/agent/deployments"):
            return 200, {"data": []}, {}
        assert keyid
        return 404, {"code": "not_found"}, {}

    def _usage(self, body: bytes) -> dict[str, Any]:
        told = json.loads(body)
        if self.behaviour.malformed_ids & {record["id"] for record in told["records"]}:
            raise Malformed("one of them")
        return self.books.take(told)

    def _register(self, told: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        token = told["registration_token"]
        if token in self.used_tokens:
            return 409, {"code": "token_used"}, {}
        if token not in self.tokens:
            return 401, {"code": "bad_registration_token"}, {}
        self.used_tokens.add(token)
        keyid = self._add_key(told["public_key"])
        return (
            201,
            {"agent": "agt_1", "keyid": keyid, "organisation": "org_1", "server_time": _instant(self.now())},
            {},
        )

    def _add_key(self, public: str) -> str:
        keyid = f"agk_{len(self.keys) + 1}"
        self.keys[keyid] = _raw(public)
        return keyid

    def _key_of(self, keyid: str) -> bytes:
        if keyid not in self.keys:
            raise BadSignature("unknown_key")
        return self.keys[keyid]

    def _seen(self, keyid: str, nonce: str) -> bool:
        seen = (keyid, nonce) in self._nonces
        self._nonces.add((keyid, nonce))
        return seen


def _handler(platform: Platform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = platform.handle(self, body)
            if answer is None:
                self._cut()
                return
            status, value, headers = answer
            content = json.dumps(value).encode()
            self.send_response(abs(status))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            for name, told in headers.items():
                self.send_header(name, told)
            self.end_headers()
            self.wfile.write(content if status > 0 else content[: len(content) // 2])
            if status < 0:
                self._cut()

        do_GET = do_POST = _any

        def _cut(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _raw(text: str) -> bytes:
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert len(raw) == 32
    return raw


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
