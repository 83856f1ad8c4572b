"""Public ids: a prefix that says the kind, and a UUIDv7 that sorts by time of making."""

from __future__ import annotations

import os
import re
import threading
import time
from uuid import UUID

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_TEXT = re.compile(r"([a-z]{3})_([0-7][0-9a-hjkmnp-tv-z]{25})", re.ASCII)
_lock = threading.Lock()
_last = 0


class BadId(ValueError):
    """A text that is no id of the kind asked for."""


def new() -> UUID:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then randomness; never smaller than the one before."""
    global _last  # noqa: PLW0603  (ids of one process keep their order)
    # Ordered first, and laid out around the fixed bits of version and variant only then.
    moment = (time.time_ns() // 1_000_000) << 74 | int.from_bytes(os.urandom(10)) >> 6
    with _lock:
        _last = max(moment, _last + 1)
        value = _last
    return _laid_out(value)


def many(count: int) -> list[UUID]:
    """As many ids as so many calls of `new` would give, in their order, with one draw of randomness for all."""
    global _last  # noqa: PLW0603  (as above)
    raw = os.urandom(10 * count)
    now = (time.time_ns() // 1_000_000) << 74
    moments = sorted(now | int.from_bytes(raw[at : at + 10]) >> 6 for at in range(0, len(raw), 10))
    values = []
    with _lock:
        for moment in moments:
            _last = max(moment, _last + 1)
            values.append(_last)
    return [_laid_out(value) for value in values]


def _laid_out(value: int) -> UUID:
    """48 bits of milliseconds and 74 of randomness around the bits that say version and variant."""
    milliseconds, high, low = value >> 74, value >> 62 & 0xFFF, value & (1 << 62) - 1
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low)


def encode(prefix: str, identifier: UUID) -> str:
    """Write an id as `ord_01j…`: 26 letters of base 32, so that texts sort as the ids do."""
    number = identifier.int
    letters = [_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5)]
    return f"{prefix}_{''.join(letters)}"


def decode(prefix: str, text: str) -> UUID:
    """Read an id back.

    :raises BadId: not an id, or of another kind.
    """
    match = _TEXT.fullmatch(text)
    if not match or match[1] != prefix:
        raise BadId(f"{text[:40]!r} is no id of the kind {prefix}_…")
    number = 0
    for letter in match[2]:
        number = number << 5 | _VALUES[letter]
    return UUID(int=number)
