"""Reading usage out of answers while they pass. Nothing of a text is kept beyond the event that it came in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tokenspot_client.engines.usage import MalformedUsage, Usage, read_usage

_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"([a-z_]{1,32})"')
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')
_MOST_EVENT = 8 * 1024 * 1024
_MOST_WHOLE = 32 * 1024 * 1024
_TOKENS_IN = ("content", "reasoning_content", "reasoning", "tool_calls", "function_call", "refusal", "audio")


class Reader(Protocol):
    """What follows one answer."""

    first_token_at: float | None

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the answer; the bytes to pass on now."""

    def rest(self) -> bytes:
        """The answer is over: what was held back."""

    def usage(self, limit: int | None) -> Usage | None:
        """What it said, None if it has not.

        :raises MalformedUsage: it cannot be.
        """


class StreamReader:
    """Follows server-sent events.

    :param strip: the usage was asked for by us: its event is not passed on. Only then an event is passed on when it
        is whole; else bytes go on as they come.
    """

    def __init__(self, clock: Callable[[], float], *, strip: bool) -> None:
        self.first_token_at: float | None = None
        self.done = False
        self._clock = clock
        self._strip = strip
        self._tail = b""
        self._usage: Any = None
        self._finish_reason: str | None = None

    def feed(self, data: bytes) -> bytes:
        buffer = self._tail + data if self._tail else data
        passed, at = [], 0
        for end in _END_OF_EVENT.finditer(buffer):
            event = self._event(buffer[at : end.start()])
            if self._strip and event is not None:
                passed.append(event)
                passed.append(end.group())
            at = end.end()
        self._tail = buffer[at:]
        if len(self._tail) > _MOST_EVENT:  # no events at all: pass it on, and count it as an answer without usage
            held, self._tail = self._tail, b""
            passed.append(held)
        return b"".join(passed) if self._strip else data

    def rest(self) -> bytes:
        held, self._tail = self._tail, b""
        event = self._event(held) if held else None
        return event if self._strip and event else b""

    def usage(self, limit: int | None) -> Usage | None:
        if self._usage is None:
            return None
        return read_usage(self._usage, limit=limit, finish_reason=self._finish_reason)

    def _event(self, event: bytes) -> bytes | None:
        """The event as it is to be passed on; None to drop it."""
        if found := _FINISH.search(event):
            self._finish_reason = found.group(1).decode()
        if b"[DONE]" in event and event.strip() == b"data: [DONE]":
            self.done = True
            return event
        said = b'"usage"' in event
        if self.first_token_at is not None and not said:
            return event
        plain = _plain(event)
        if plain is None:
            return event
        if self.first_token_at is None and _has_token(plain):
            self.first_token_at = self._clock()
        if isinstance(plain.get("usage"), Mapping):
            self._usage = plain["usage"]
            return None if plain.get("choices") == [] else event
        if said and self._strip and "usage" in plain:
            shorter, times = _NULL_USAGE.subn(b"", event)
            return shorter if times == 1 else event
        return event


class WholeReader:
    """Follows an answer in one piece."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.first_token_at: float | None = None
        self._clock = clock
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        if self.first_token_at is None:
            self.first_token_at = self._clock()
        self._size += len(data)
        if self._size <= _MOST_WHOLE:
            self._parts.append(data)
        return data

    def rest(self) -> bytes:
        return b""

    def usage(self, limit: int | None) -> Usage | None:
        if self._size > _MOST_WHOLE:
            return None
        try:
            plain = json.loads(b"".join(self._parts))
        except ValueError:
            return None
        finally:
            self._parts = []
        said = plain.get("usage") if isinstance(plain, dict) else None
        if said is None:
            return None
        if (
            isinstance(said, Mapping) and plain.get("object") == "list"
        ):  # embeddings generate nothing, and do not say it
            said = {"completion_tokens": 0, **said}
        reasons = [c.get("finish_reason") for c in plain.get("choices") or [] if isinstance(c, dict)]
        return read_usage(said, limit=limit, finish_reason=next((r for r in reasons if isinstance(r, str)), None))


def _plain(event: bytes) -> dict[str, Any] | None:
    start = event.find(b"data:")
    if start < 0:
        return None
    try:
        plain = json.loads(event[start + 5 :])
    except ValueError:
        return None
    return plain if isinstance(plain, dict) else None


def _has_token(plain: Mapping[str, Any]) -> bool:
    choices = plain.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, Mapping):
            continue
        delta = choice.get("delta")
        if choice.get("text") or choice.get("finish_reason"):
            return True
        if isinstance(delta, Mapping) and any(delta.get(name) for name in _TOKENS_IN):
            return True
    return False


__all__ = ["MalformedUsage", "Reader", "StreamReader", "WholeReader"]
