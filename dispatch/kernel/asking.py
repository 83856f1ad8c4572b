"""Reading a completion request, as OpenAI's clients send it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from dispatch.kernel.errors import BadRequest, NotSupported

MAX_TOKENS = 1_000_000
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_HANDED_ON = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "stop")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, reduced to what an engine is told.

    `texts` are the parts of the prompt that are counted; the words themselves
    live no longer than the request. `repr` leaves them out, so that no log or
    traceback can show them.
    """

    chat: bool
    model: str
    messages: tuple[tuple[str, str], ...] = field(repr=False)  # (role, text); one ("", text) for a plain prompt
    max_tokens: int | None
    stream: bool
    include_usage: bool
    options: dict[str, Any] = field(repr=False)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for _, text in self.messages)


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: Any = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = False


class _Body(msgspec.Struct):
    """Members that matter. Others (user, metadata, store, service_tier) change no answer and are left unread."""

    model: str
    messages: list[_Message] = []
    prompt: str | list[str] = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | list[str] | None = None
    n: int | None = 1
    best_of: int | None = 1
    echo: bool | None = False
    suffix: str | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    tool_choice: Any = None
    function_call: Any = None
    response_format: dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None


def read(raw: bytes, *, chat: bool) -> Asked:
    """Read the body of `/v1/chat/completions` (chat) or `/v1/completions`.

    :raises BadRequest: not JSON, a member of the wrong type, or a value out of range.
    :raises NotSupported: a member that would change the answer and is not served.
    """
    try:
        body = msgspec.json.decode(raw, type=_Body)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise BadRequest(message, param=path.strip("`.") or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not JSON in UTF-8.") from None
    _refuse_unserved(body)
    messages = _messages(body.messages) if chat else _prompt(body.prompt)
    return Asked(
        chat=chat,
        model=body.model,
        messages=messages,
        max_tokens=_limit(body),
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        options={name: value for name in _HANDED_ON if (value := getattr(body, name)) is not None},
    )


def _refuse_unserved(body: _Body) -> None:
    wishes = {
        "n": body.n not in (None, 1),
        "best_of": body.best_of not in (None, 1),
        "echo": bool(body.echo),
        "suffix": body.suffix is not None,
        "tools": bool(body.tools),
        "functions": bool(body.functions),
        "tool_choice": body.tool_choice not in (None, "none", "auto"),
        "function_call": body.function_call not in (None, "none", "auto"),
        "logprobs": body.logprobs not in (None, False),
        "top_logprobs": body.top_logprobs not in (None, 0),
        "logit_bias": bool(body.logit_bias),
        "response_format": bool(body.response_format) and body.response_format != {"type": "text"},
        "modalities": body.modalities not in (None, ["text"]),
        "audio": body.audio is not None,
        "prediction": body.prediction is not None,
        "web_search_options": body.web_search_options is not None,
    }
    for name, wished in wishes.items():
        if wished:
            raise NotSupported(f"{name} is not served here.", param=name)


def _messages(given: list[_Message]) -> tuple[tuple[str, str], ...]:
    if not given:
        raise BadRequest("messages must hold at least one message.", param="messages")
    return tuple(_message(message, position) for position, message in enumerate(given))


def _message(message: _Message, position: int) -> tuple[str, str]:
    where = f"messages[{position}]"
    if message.role in {"tool", "function"} or message.tool_calls:
        raise NotSupported("Tool calls are not served here.", param=where)
    if message.role not in _ROLES:
        raise BadRequest(f"role must be one of {', '.join(_ROLES)}.", param=f"{where}.role")
    if isinstance(message.content, list):
        for part in message.content:
            if part.type != "text":
                raise NotSupported("Only text content is served here.", param=f"{where}.content")
        return _ROLES[message.role], "".join(part.text for part in message.content)
    return _ROLES[message.role], message.content or ""


def _prompt(given: str | list[str]) -> tuple[tuple[str, str], ...]:
    texts = [given] if isinstance(given, str) else given
    if len(texts) > 1:
        raise NotSupported("One prompt a request.", param="prompt")
    if not texts or not texts[0]:
        raise BadRequest("prompt must not be empty.", param="prompt")
    return (("", texts[0]),)


def _limit(body: _Body) -> int | None:
    name = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    if limit is not None and not 1 <= limit <= MAX_TOKENS:
        raise BadRequest(f"{name} must lie in 1..{MAX_TOKENS}.", param=name)
    return limit
