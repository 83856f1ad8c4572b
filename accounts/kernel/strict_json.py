"""JSON as the API reads it: no duplicate members, no NaN, no surrogates, no deep nesting."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NoReturn

MAX_DEPTH = 20
_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH}."
_SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")
# After decoding, only such an escape can put NUL or half a character into a text.
_SUSPICIOUS_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class MalformedJSON(ValueError):
    """A body that is not strict JSON; the text says what is wrong."""


def loads(raw: bytes) -> Any:
    """Read one JSON value.

    :raises MalformedJSON: not UTF-8, not JSON, or not strict.
    """
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_constant, parse_float=_finite)
    except UnicodeDecodeError:
        raise MalformedJSON("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise MalformedJSON(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except RecursionError:
        raise MalformedJSON(_TOO_DEEP) from None
    except ValueError as error:  # our own refusals, and integers of thousands of digits
        raise MalformedJSON(str(error) if isinstance(error, MalformedJSON) else "A number is too long.") from None
    _refuse_depth(value, 0)
    if _SUSPICIOUS_ESCAPE.search(text):
        _refuse_characters(value)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJSON("A member stands twice in one object.")
    return members


def _constant(name: str) -> NoReturn:
    raise MalformedJSON(f"{name} is not a JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise MalformedJSON("A number is too large.")
    return number


def _refuse_depth(value: Any, depth: int) -> None:
    if isinstance(value, dict):
        inner: Iterable[Any] = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return
    if depth == MAX_DEPTH:
        raise MalformedJSON(_TOO_DEEP)
    for item in inner:
        if isinstance(item, dict | list):
            _refuse_depth(item, depth + 1)


def _refuse_characters(value: Any) -> None:
    if isinstance(value, str):
        if _SURROGATE_OR_NUL.search(value):
            raise MalformedJSON("A text holds NUL or half a character.")
    elif isinstance(value, list):
        for item in value:
            _refuse_characters(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_characters(key)
            _refuse_characters(item)
