"""Usage as the events that ``POST /api/v1/events`` takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tokenspot_client.engines.usage import Usage

TYPE = "tokenspot.usage.v1"


class CachedUnknown(ValueError):
    """The usage does not say how many prompt tokens a cache served, and an event without them counts none."""

    code = "cached_unknown"


def usage_event(
    usage: Usage,
    *,
    id: str,
    source: str,
    time: datetime,
    allocation: str,
    card: str,
    subject: str = "",
    started_at: datetime | None = None,
    finished_at: datetime | None = None,
    cached_when_unknown: int | None = None,
) -> dict[str, Any]:
    """One CloudEvent. Send the same ``source`` and ``id`` again and it counts once.

    :param time: the instant of the first token, with its UTC offset.
    :param card: the card's whole digest.
    :param cached_when_unknown: what to send where the usage does not say; 0 bills all as uncached.
    :raises CachedUnknown: the usage does not say, and neither does the caller.
    :raises ValueError: an instant without a UTC offset.
    """
    cached = usage.cached if usage.cached is not None else cached_when_unknown
    if cached is None:
        raise CachedUnknown("the usage does not say how many tokens were cached: give cached_when_unknown")
    data: dict[str, Any] = {
        "allocation": allocation,
        "card": card,
        "prompt_tokens": usage.prompt,
        "cached_tokens": cached,
        "completion_tokens": usage.generated,
        "max_tokens": usage.limit,
        "finish_reason": usage.finish_reason or "",
    }
    data |= {
        name: _utc(instant)
        for name, instant in (("started_at", started_at), ("finished_at", finished_at))
        if instant is not None
    }
    event = {"specversion": "1.0", "type": TYPE, "id": id, "source": source, "time": _utc(time), "data": data}
    return event | ({"subject": subject} if subject else {})


def _utc(instant: datetime) -> str:
    if instant.tzinfo is None:
        raise ValueError("an instant must name its UTC offset")
    return instant.astimezone(UTC).isoformat()
