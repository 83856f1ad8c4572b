"""Answers in the shapes of OpenAI's API, rebuilt so that nothing uncounted passes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from accounts.kernel.errors import DomainError
from dispatch.kernel.engine_stream import Piece
from dispatch.kernel.errors import GatewayError
from token_standard.usage import st_text

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Usage:
    """What the request used, as the platform counted it."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    micro_st: int

    def plain(self) -> dict[str, Any]:
        """The `usage` object, with our own member beside OpenAI's."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "tokenspot": {"standard_tokens": st_text(self.micro_st), "micro_st": str(self.micro_st)},
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """The envelope that all chunks of one answer share. `created` is in seconds since 1970."""

    request_id: str
    model: str
    created: int
    chat: bool
    include_usage: bool

    def opening(self) -> bytes:
        """The first event of a chat stream, which names the role."""
        return self._event([self._choice({"role": "assistant", "content": ""}, "", None)]) if self.chat else b""

    def event(self, piece: Piece) -> bytes:
        """One event with text."""
        delta: dict[str, Any] = {"content": piece.text} if piece.text else {}
        if piece.thought:
            delta["reasoning_content"] = piece.thought
        return self._event([self._choice(delta, piece.text, None)])

    def closing(self, finish_reason: str) -> bytes:
        """The last event with a choice."""
        return self._event([self._choice({}, "", finish_reason)])

    def usage_event(self, usage: Usage) -> bytes:
        """The event after it, where `stream_options.include_usage` asked for it."""
        return self._event([], usage) if self.include_usage else b""

    def whole(self, text: str, thought: str, finish_reason: str, usage: Usage) -> bytes:
        """The answer in one piece."""
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if thought:
            message["reasoning_content"] = thought
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason, "logprobs": None}
        choice |= {"message": message} if self.chat else {"text": text}
        kind = "chat.completion" if self.chat else "text_completion"
        return msgspec.json.encode(self._body(kind, [choice]) | {"usage": usage.plain()})

    def _choice(self, delta: dict[str, Any], text: str, finish_reason: str | None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason, "logprobs": None}
        return choice | ({"delta": delta} if self.chat else {"text": text})

    def _event(self, choices: list[dict[str, Any]], usage: Usage | None = None) -> bytes:
        body = self._body("chat.completion.chunk" if self.chat else "text_completion", choices)
        if self.include_usage:
            body["usage"] = usage.plain() if usage else None
        return b"data: " + msgspec.json.encode(body) + b"\n\n"

    def _body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        prefix = "chatcmpl" if self.chat else "cmpl"
        return {
            "id": f"{prefix}-{self.request_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def refusal(error: DomainError) -> bytes:
    """A refusal, as OpenAI's clients read it."""
    kind = error.kind if isinstance(error, GatewayError) else "invalid_request_error"
    param = error.param if isinstance(error, GatewayError) else None
    return msgspec.json.encode({"error": {"message": str(error), "type": kind, "param": param, "code": error.code}})
