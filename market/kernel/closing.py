"""When a round closes: on the grid of its market, plus 0–10 % of the interval that nobody can foresee."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

SEED_BYTES = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SLACK_PARTS = 10  # the random part is at most a tenth of the interval


def commitment(seed: bytes) -> bytes:
    """What is published of a seed before its round opens: SHA-256 of it."""
    return hashlib.sha256(seed).digest()


def next_close(now: datetime, *, tick_seconds: int, seed: bytes) -> datetime:
    """The close after `now`: the next nominal one, plus a random part drawn from the round's own seed.

    After a stall this is the next nominal close again: missed ones are not made up for.
    """
    tick = timedelta(seconds=tick_seconds)
    nominal = _EPOCH + ((now - _EPOCH) // tick + 1) * tick
    draw = int.from_bytes(hashlib.sha256(b"close" + seed).digest()[:4])
    slack_micros = tick // timedelta(microseconds=1) // _SLACK_PARTS
    return nominal + timedelta(microseconds=draw * slack_micros >> 32)


def is_due(now: datetime, *, next_close_at: datetime, tick_seconds: int) -> bool:
    """Whether the open round closes now: its time has come, or the clock was set back far behind it."""
    return next_close_at <= now or next_close_at > now + timedelta(seconds=2 * tick_seconds)
