"""The engine's HTTP face: OpenAI completions and chat, streamed or whole, and `/metrics`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fakes.llama.metrics import PAGES
from tests.fakes.llama.model import BYTES, END, TURN, Llama, Shape
from tests.fakes.llama.scheduler import Request, Scheduler

MODEL = "tiny-llama"
_MOST_BODY = 1_000_000
_MOST_POSITIONS = 4_096


class BadRequest(Exception):
    """The asked cannot be served; the text goes to the client."""


class Server(ThreadingHTTPServer):
    """One engine on one port. ``restart`` forgets every counter and the cache, as a new process would."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self,
        *,
        port: int = 0,
        metrics: str = "vllm",
        speculate: bool = False,
        overrun: int = 0,
        shape: Shape | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.model, self.metrics = Llama(shape or Shape()), PAGES[metrics]
        self._options: dict[str, Any] = {"speculate": speculate, "overrun": overrun}
        self.scheduler = Scheduler(self.model, **self._options)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def restart(self) -> None:
        """A new process in all that can be seen from outside; the address stays."""
        self.scheduler.stop()
        self.scheduler = Scheduler(self.model, **self._options)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or the end of a stream waits 40 ms for an acknowledgement, as no engine's does
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        scheduler = self.server.scheduler
        if self.path == "/metrics":
            with scheduler.lock:
                page = self.server.metrics(scheduler, MODEL)
            start = str(scheduler.counts.started)
            self._send(200, page.encode(), "text/plain; version=0.0.4", {"Process-Start-Time-Unix": start})
        elif self.path == "/health":
            self._send(200, b"", "text/plain")
        elif self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self._json(404, {"error": {"message": "There is nothing here."}})

    def do_POST(self) -> None:
        chat = self.path == "/v1/chat/completions"
        if not chat and self.path != "/v1/completions":
            self._json(404, {"error": {"message": "There is nothing here."}})
            return
        try:
            asked = json.loads(self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MOST_BODY)))
            request = _request(asked, chat=chat)
        except (ValueError, TypeError, AttributeError, KeyError, BadRequest) as error:
            self._json(400, {"error": {"message": str(error)}})
            return
        self.server.scheduler.submit(request)
        answer = _Answer(request, chat=chat)
        if asked.get("stream"):
            self._stream(request, answer, usage=bool((asked.get("stream_options") or {}).get("include_usage")))
        else:
            self._json(200, answer.whole(_text(list(iter(request.output.get, None)))))

    def _stream(self, request: Request, answer: _Answer, *, usage: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for token in iter(request.output.get, None):
                self._event(answer.chunk(_text([token])))
            self._event(answer.chunk("", finish=request.finish_reason))
            if usage:
                self._event(answer.body([]) | {"usage": answer.usage})
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")
        except OSError:
            request.cancelled = True  # the client left
            self.close_connection = True

    def _event(self, value: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        try:
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client left


def _request(asked: dict[str, Any], *, chat: bool) -> Request:
    if chat:
        tokens = [token for message in asked["messages"] for token in [TURN, *str(message["content"]).encode()]]
        tokens.append(TURN)
    else:
        tokens = [TURN, *str(asked["prompt"]).encode()]
    limit = int(asked.get("max_completion_tokens") or asked.get("max_tokens") or 64)
    if limit < 1 or len(tokens) + limit > _MOST_POSITIONS:
        raise BadRequest(f"prompt and max_tokens must fit in {_MOST_POSITIONS} positions")
    return Request(
        tokens,
        limit,
        temperature=float(asked.get("temperature") or 0),
        seed=int(asked.get("seed") or 0),
        ignore_end=bool(asked.get("ignore_eos")),
    )


def _text(tokens: list[int]) -> str:
    """Each byte as the letter of its number: one token is always one letter, whatever the bytes spell."""
    return "".join(chr(token) for token in tokens if token < BYTES and token != END)


class _Answer:
    def __init__(self, request: Request, *, chat: bool) -> None:
        self._request, self._chat, self._created = request, chat, int(time.time())

    @property
    def usage(self) -> dict[str, Any]:
        prompt, generated = len(self._request.prompt), self._request.generated
        return {
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "total_tokens": prompt + generated,
            "prompt_tokens_details": {"cached_tokens": self._request.cached},
        }

    def whole(self, text: str) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": self._request.finish_reason}
        choice |= {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        return self.body([choice]) | {"usage": self.usage}

    def chunk(self, text: str, finish: str | None = None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        choice |= {"delta": {"content": text} if text else {}} if self._chat else {"text": text}
        return self.body([choice])

    def body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion" if self._chat else "text_completion"
        return {"object": kind, "created": self._created, "model": MODEL, "choices": choices}


@contextmanager
def served(**options: Any) -> Iterator[Server]:
    """A running engine on a free loopback port."""
    server = Server(**options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.scheduler.stop()
        server.server_close()
        thread.join(10)
