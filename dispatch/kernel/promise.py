"""Whether a request was served as its grade promises. Source: docs/market-rules.md, "Promise"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# Time to the first token in milliseconds, and model tokens a second of a stream in thousandths.
FIRST_TOKEN_MS = {"realtime": 500, "interactive": 2_000}
SPEED_MILLI = {"realtime": 40_000, "interactive": 15_000}
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast a request was served; None where that cannot be told."""

    first_token_ms: int | None
    speed_milli: int | None


def timing(*, opened_at: datetime, first_at: datetime | None, last_at: datetime | None, tokens: int) -> Timing:
    """Both figures, rounded in the provider's favour. The speed counts from the first token to the last.

    One token, or several at one instant, have no speed.
    """
    if first_at is None:
        return Timing(None, None)
    first = max(0, (first_at - opened_at) // _MS)
    spent = (last_at - first_at) // _MS if last_at else 0
    return Timing(first, -(-(tokens - 1) * 10**6 // spent) if spent > 0 and tokens > 1 else None)


def kept(grade: str, found: Timing, *, finished_at: datetime, window_end: datetime) -> bool | None:
    """Whether the promise was kept; None where there was nothing to judge, because no token came."""
    if found.first_token_ms is None:
        return None
    if grade not in FIRST_TOKEN_MS:
        return finished_at <= window_end
    fast = found.speed_milli is None or found.speed_milli >= SPEED_MILLI[grade]
    return found.first_token_ms <= FIRST_TOKEN_MS[grade] and fast
