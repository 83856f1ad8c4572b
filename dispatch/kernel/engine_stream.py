"""Reading what an engine streams: server-sent events with chunks of a completion in them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

_MAX_EVENT = 1_048_576


class BadStream(Exception):
    """The engine sent something that is no completion stream."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One step of an engine's answer. `thought` is what reasoning models say before they answer."""

    text: str = ""
    thought: str = ""
    finish_reason: str | None = None
    cached_tokens: int | None = None  # known only where the engine reports its usage


class EventReader:
    """Cuts a byte stream into the data of its events, however the bytes arrive.

    Only LF and CRLF end a line: JSON may hold U+2028 and its like unescaped,
    which a text splitter would take for line ends.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> list[bytes]:
        """The data of all events that these bytes complete.

        :raises BadStream: an event beyond 1 MiB.
        """
        *lines, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) + sum(map(len, self._data)) > _MAX_EVENT:
            raise BadStream("an event is too long")
        done = []
        for line in lines:
            stripped = line.removesuffix(b"\r")
            if stripped.startswith(b"data:"):
                self._data.append(stripped[5:].removeprefix(b" "))
            elif not stripped and self._data:
                done.append(b"\n".join(self._data))
                self._data = []
        return done


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens_details: _Details | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: msgspec.Raw | None = None


def read_chunk(data: bytes) -> Piece:
    """One event's data as a piece of the answer.

    :raises BadStream: not a chunk, or the engine reports an error in its stream.
    """
    try:
        chunk = msgspec.json.decode(data, type=_Chunk)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadStream("an event is no chunk") from None  # without the cause: it may quote the text
    if chunk.error is not None:
        raise BadStream("the engine reports an error")
    details = chunk.usage.prompt_tokens_details if chunk.usage else None
    cached = details.cached_tokens if details else None
    if not chunk.choices:
        return Piece(cached_tokens=cached)
    choice = chunk.choices[0]
    delta = choice.delta or _Delta()
    return Piece(
        text=choice.text or delta.content or "",
        thought=delta.reasoning_content or delta.reasoning or "",
        finish_reason=choice.finish_reason,
        cached_tokens=cached,
    )
