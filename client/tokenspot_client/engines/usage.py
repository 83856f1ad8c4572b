"""The ``usage`` object of OpenAI-compatible answers. What is not said is None, never zero."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 10**9  # the most that a usage event may say


class MalformedUsage(ValueError):
    """A usage object that cannot be; ``field`` names its first wrong member."""

    code = "malformed_usage"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class NoUsage(MalformedUsage):
    """The answer carries no usage: a stream needs ``stream_options.include_usage``."""

    code = "no_usage"


@dataclass(frozen=True)
class Usage:
    """Tokens of one request as its engine counted them; ``prompt`` includes ``cached``."""

    prompt: int
    generated: int
    cached: int | None = None
    reasoning: int | None = None  # part of generated
    accepted_prediction: int | None = None
    rejected_prediction: int | None = None
    limit: int | None = None  # what the request allowed to generate
    finish_reason: str | None = None

    @property
    def uncached(self) -> int | None:
        return None if self.cached is None else self.prompt - self.cached

    @property
    def billable(self) -> int:
        """Generated tokens that may be billed: never more than the request allowed."""
        return self.generated if self.limit is None else min(self.generated, self.limit)

    @property
    def overrun(self) -> int:
        """Tokens generated beyond the limit (seen with llama.cpp): delivered, never billed."""
        return self.generated - self.billable


def read_usage(plain: object, *, limit: int | None = None, finish_reason: str | None = None) -> Usage:
    """Read a usage object.

    :raises MalformedUsage: a member missing, not a whole number, below zero, beyond a thousand million, or at odds
        with another.
    """
    if not isinstance(plain, Mapping):
        raise MalformedUsage("a usage is a JSON object")
    prompt, generated = _required(plain, "prompt_tokens"), _required(plain, "completion_tokens")
    total = _optional(plain, "total_tokens")
    if total is not None and total != prompt + generated:
        raise MalformedUsage(f"{total} is not {prompt} + {generated}", field="total_tokens")
    of_prompt, of_generated = _details(plain, "prompt_tokens_details"), _details(plain, "completion_tokens_details")
    cached = _part(of_prompt, "cached_tokens", prompt)
    if cached is None:
        cached = _part(plain, "prompt_cache_hit_tokens", prompt)  # DeepSeek's spelling
    if limit is not None:
        limit = _count(limit, "limit")
    return Usage(
        prompt=prompt,
        generated=generated,
        cached=cached,
        reasoning=_part(of_generated, "reasoning_tokens", generated),
        accepted_prediction=_optional(of_generated, "accepted_prediction_tokens"),
        rejected_prediction=_optional(of_generated, "rejected_prediction_tokens"),
        limit=limit,
        finish_reason=finish_reason,
    )


def read_answer(answer: object, *, limit: int | None = None) -> Usage:
    """Read a whole (not streamed) answer.

    :raises NoUsage: it carries none.
    :raises MalformedUsage: as :func:`read_usage`.
    """
    if not isinstance(answer, Mapping):
        raise MalformedUsage("an answer is a JSON object")
    if answer.get("usage") is None:
        raise NoUsage("the answer carries no usage")
    return read_usage(answer["usage"], limit=limit, finish_reason=_finish_reason(answer))


def read_stream(lines: Iterable[str], *, limit: int | None = None) -> Usage:
    """Read a stream's lines (server-sent events). The last usage counts: some engines send a running one.

    :raises NoUsage: it carries none.
    :raises MalformedUsage: it ended before ``[DONE]``, or as :func:`read_usage`.
    """
    last: object = None
    reason: str | None = None
    for number, line in enumerate(lines, start=1):
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            if last is None:
                raise NoUsage("the stream carries no usage: ask with stream_options.include_usage")
            return read_usage(last, limit=limit, finish_reason=reason)
        try:
            chunk = json.loads(data)
        except ValueError:
            raise MalformedUsage(f"line {number} of the stream is no JSON") from None
        if isinstance(chunk, Mapping):
            last = chunk.get("usage") or last
            reason = _finish_reason(chunk) or reason
    raise MalformedUsage("the stream ended before [DONE]: what it counted is not final")


def _finish_reason(answer: Mapping[str, Any]) -> str | None:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    reason = first.get("finish_reason") if isinstance(first, Mapping) else None
    return reason if isinstance(reason, str) else None


def _details(plain: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    details = plain.get(field)
    if details is None:
        return {}
    if not isinstance(details, Mapping):
        raise MalformedUsage("must be an object", field=field)
    return details


def _part(plain: Mapping[str, Any], field: str, whole: int) -> int | None:
    part = _optional(plain, field)
    if part is not None and part > whole:
        raise MalformedUsage(f"{part} is more than the {whole} that it is part of", field=field)
    return part


def _required(plain: Mapping[str, Any], field: str) -> int:
    count = _optional(plain, field)
    if count is None:
        raise MalformedUsage("is missing", field=field)
    return count


def _optional(plain: Mapping[str, Any], field: str) -> int | None:
    return None if plain.get(field) is None else _count(plain[field], field)


def _count(value: object, field: str) -> int:
    if type(value) is not int:
        raise MalformedUsage(f"{value!r} is no whole number", field=field)
    if not 0 <= value <= MOST_TOKENS:
        raise MalformedUsage(f"{value} does not lie in 0..{MOST_TOKENS}", field=field)
    return value
