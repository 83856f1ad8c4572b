"""The engine's HTTP face, as a plain ASGI application."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.fakes.engine.pace import Device
from tests.fakes.engine.text import natural_length, pieces
from token_standard.cards import Card
from token_standard.catalogue import card
from token_standard.tokenizer import REFERENCE
from token_standard.usage import micro_st

_MAX_BODY = 2 * 1024 * 1024
_PIECES_A_CHUNK = 4


class Message(msgspec.Struct):
    """One message; content as text or as a list of text parts."""

    role: str
    content: str | list[dict[str, Any]] = ""

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(str(part.get("text", "")) for part in self.content)


class Ask(msgspec.Struct):
    """What of a completion request matters here; everything else is ignored."""

    model: str
    messages: list[Message] = []
    prompt: str = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    seed: int | None = None

    @property
    def text(self) -> str:
        return self.prompt or "".join(message.text for message in self.messages)

    @property
    def prompt_tokens(self) -> int:
        """Each message is counted on its own; the chat template's own tokens are not."""
        return REFERENCE.count(self.prompt) + sum(REFERENCE.count(message.text) for message in self.messages)


@dataclass
class Behaviour:
    """Faults on demand, for tests. All off by default."""

    refuse_with: int | None = None  # answer every completion with this status
    break_after: int | None = None  # cut the connection after so many pieces
    hang: bool = False  # take the request and never answer
    overrun: int = 0  # pieces beyond max_tokens
    say_first: str = ""  # a text that the answer begins with, for looking where it must not be found


@dataclass
class Engine:
    """One server process: some models on one device."""

    models: tuple[str, ...]
    rate: float
    name: str = "engine"
    key: str = ""
    behaviour: Behaviour = field(default_factory=Behaviour)

    def __post_init__(self) -> None:
        self.device = Device(self.rate)
        self.cards: dict[str, Card] = {model: card(model) for model in self.models}
        self.counters: Counter[tuple[str, str]] = Counter()
        self.running = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        route = (scope["method"], scope["path"])
        if route == ("GET", "/health"):
            await _answer(send, 200, b"", b"text/plain")
        elif route == ("GET", "/metrics"):
            await _answer(send, 200, self._metrics(), b"text/plain; version=0.0.4")
        elif not self._known_key(scope):
            await _error(send, 401, "The API key is not known here.", "invalid_api_key")
        elif route == ("GET", "/v1/models"):
            listed = [{"id": model, "object": "model", "created": 0, "owned_by": self.name} for model in self.models]
            await _answer(send, 200, msgspec.json.encode({"object": "list", "data": listed}))
        elif route in {("POST", "/v1/chat/completions"), ("POST", "/v1/completions")}:
            await self._complete(receive, send, chat=scope["path"].endswith("chat/completions"))
        else:
            await _error(send, 404, "There is nothing here.", "not_found")

    def _known_key(self, scope: dict[str, Any]) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return not self.key or hmac.compare_digest(given, f"Bearer {self.key}".encode())

    async def _complete(self, receive: Any, send: Any, *, chat: bool) -> None:
        try:
            ask = msgspec.json.decode(await _body(receive), type=Ask)
        except msgspec.MsgspecError as error:
            await _error(send, 400, str(error), "invalid_request")
            return
        if ask.model not in self.cards:
            await _error(send, 404, f"The model {ask.model!r} does not exist here.", "model_not_found")
            return
        if self.behaviour.refuse_with:
            await _error(send, self.behaviour.refuse_with, "This engine refuses on purpose.", "refused")
            return
        gone = asyncio.create_task(_gone(receive))
        work = asyncio.create_task(self._work(ask, send, chat=chat))
        await asyncio.wait([gone, work], return_when=asyncio.FIRST_COMPLETED)
        for task in (gone, work):
            task.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        if not work.cancelled():
            await asyncio.gather(work, return_exceptions=False)

    async def _work(self, ask: Ask, send: Any, *, chat: bool) -> None:
        self.running += 1
        try:
            shape = Shape(ask, chat=chat)
            if ask.stream:
                await self._stream(ask, shape, send)
            else:
                text = "".join([chunk async for chunk in self._generate(ask, shape)])
                await _answer(send, 200, msgspec.json.encode(shape.whole(text)))
        except asyncio.CancelledError:
            pass  # the client left
        finally:
            self.running -= 1

    async def _stream(self, ask: Ask, shape: Shape, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        usage = bool((ask.stream_options or {}).get("include_usage"))
        await _event(send, shape.chunk("", first=True))
        async for text in self._generate(ask, shape):
            await _event(send, shape.chunk(text))
        await _event(send, shape.chunk("", finish=shape.finish_reason))
        if usage:
            await _event(send, shape.usage_chunk())
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def _generate(self, ask: Ask, shape: Shape) -> AsyncIterator[str]:
        """Text in chunks of a few pieces, each once the device has done its work."""
        if self.behaviour.hang:
            await asyncio.Event().wait()
        used = self.cards[ask.model]
        await self.device.work(micro_st(used, n=shape.prompt_tokens, c=0, g=0))
        self.counters["vllm:prompt_tokens_total", ask.model] += shape.prompt_tokens
        text = pieces(shape.seed, shape.completion_tokens + self.behaviour.overrun)
        done = micro_st(used, n=shape.prompt_tokens, c=0, g=0)
        if self.behaviour.say_first:
            yield self.behaviour.say_first
        for start in range(0, len(text), _PIECES_A_CHUNK):
            if self.behaviour.break_after is not None and start >= self.behaviour.break_after:
                raise ConnectionAbortedError("broken on purpose")
            part = text[start : start + _PIECES_A_CHUNK]
            until = micro_st(used, n=shape.prompt_tokens, c=0, g=start + len(part))
            await self.device.work(until - done)
            done = until
            self.counters["vllm:generation_tokens_total", ask.model] += len(part)
            yield "".join(part)
        self.counters["vllm:request_success_total", ask.model] += 1

    def _metrics(self) -> bytes:
        lines = ["# TYPE vllm:num_requests_running gauge", f"vllm:num_requests_running {self.running}"]
        for metric in ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total"):
            lines.append(f"# TYPE {metric} counter")
            lines += [f'{metric}{{model_name="{model}"}} {self.counters[metric, model]}' for model in self.models]
        return ("\n".join(lines) + "\n").encode()


class Shape:
    """How long an answer is, and how its JSON looks."""

    def __init__(self, ask: Ask, *, chat: bool) -> None:
        self.seed = f"{ask.seed}:{ask.text}" if ask.seed is not None else ask.text
        self.prompt_tokens = ask.prompt_tokens
        natural = natural_length(self.seed)
        limit = ask.max_completion_tokens or ask.max_tokens or natural
        self.completion_tokens = min(natural, limit)
        self.finish_reason = "stop" if natural <= limit else "length"
        self._chat = chat
        self._id = "cmpl-" + hashlib.sha256(self.seed.encode()).hexdigest()[:24]
        self._model = ask.model
        self._created = int(time.time())

    def whole(self, text: str) -> dict[str, Any]:
        """The answer in one piece."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.finish_reason, "logprobs": None}
        choice |= {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        return self._body("chat.completion" if self._chat else "text_completion", [choice]) | {"usage": self._usage()}

    def chunk(self, text: str, *, first: bool = False, finish: str | None = None) -> dict[str, Any]:
        """A part of a stream."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        delta = {"role": "assistant", "content": ""} if first else ({} if finish else {"content": text})
        choice |= {"delta": delta} if self._chat else {"text": text}
        return self._body("chat.completion.chunk" if self._chat else "text_completion", [choice])

    def usage_chunk(self) -> dict[str, Any]:
        """The last part of a stream, where asked for."""
        return self._body("chat.completion.chunk" if self._chat else "text_completion", []) | {"usage": self._usage()}

    def _body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model, "choices": choices}

    def _usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        }


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Any) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if sum(map(len, parts)) > _MAX_BODY or not message.get("more_body"):
            return b"".join(parts)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _event(send: Any, value: dict[str, Any]) -> None:
    await send(
        {"type": "http.response.body", "body": b"data: " + msgspec.json.encode(value) + b"\n\n", "more_body": True}
    )


async def _answer(send: Any, status: int, body: bytes, content_type: bytes = b"application/json") -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _error(send: Any, status: int, message: str, code: str) -> None:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    await _answer(send, status, msgspec.json.encode(body))
