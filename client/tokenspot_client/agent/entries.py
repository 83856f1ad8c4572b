"""A line of a request log as a record: one's own JSON lines with names to choose, or the events of the hooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenspot_client.agent.records import BadRecord, Record, record_id, seconds
from tokenspot_client.engines.usage import MalformedUsage, Usage, read_usage

FIELDS = {
    "request_id": "request_id",
    "allocation": "allocation",
    "card": "card",
    "usage": "usage",
    "prompt_tokens": "prompt_tokens",
    "cached_tokens": "cached_tokens",
    "completion_tokens": "completion_tokens",
    "max_tokens": "max_tokens",
    "finish_reason": "finish_reason",
    "time": "time",
    "started_at": "started_at",
    "finished_at": "finished_at",
    "status": "status",
}


class Skipped(ValueError):
    """A line that tells no usage; ``reason`` is a stable word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Entry:
    """One line's usage; without a record it is the provider's own traffic."""

    usage: Usage
    record: Record | None


Parse = Callable[[bytes, str], Entry]


@dataclass(frozen=True)
class LogFormat:
    """How a request log spells things: dotted names into each line's object, and what it does not say."""

    source: str = "agent"
    card: str = ""
    served_format: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def parse(self, line: bytes, place: str) -> Entry:
        """Read one line; ``place`` names a request that has no id of its own.

        :raises Skipped: no JSON object, a failed request, no usage, no instant.
        """
        plain = _object(line)
        get = {name: _at(plain, self.fields.get(name, spelled)) for name, spelled in FIELDS.items()}
        if type(get["status"]) is int and get["status"] >= 400:
            raise Skipped("failed_request")
        usage = _usage(get)
        allocation = get["allocation"]
        if not allocation:
            return Entry(usage, None)
        request = get["request_id"] or place
        record = Record(
            source=self.source,
            id=record_id(self.source, str(request)),
            request_id=str(request),
            allocation=str(allocation),
            card=str(get["card"] or self.card),
            prompt=usage.prompt,
            cached=usage.cached or 0,
            generated=usage.generated,
            limit=usage.limit,
            finish_reason=usage.finish_reason or "",
            served_format=self.served_format,
            time=_instant(get["time"] or get["started_at"] or get["finished_at"]),
            started_at=_instant(get["started_at"]) if get["started_at"] else None,
            finished_at=_instant(get["finished_at"]) if get["finished_at"] else None,
        )
        return _checked(usage, record)


def parse_event(line: bytes, place: str) -> Entry:
    """Read one event of ``hooks.usage_event``: its source and id stay as they are.

    :raises Skipped: no such event.
    """
    event = _object(line)
    data = event.get("data")
    if not isinstance(data, dict):
        raise Skipped("no_usage")
    usage = _usage({**{name: data.get(name) for name in FIELDS}, "usage": None})
    record = Record(
        source=str(event.get("source", "")),
        id=str(event.get("id", "")),
        request_id=str(event.get("subject") or event.get("id", "")),
        allocation=str(data.get("allocation", "")),
        card=str(data.get("card", "")),
        prompt=usage.prompt,
        cached=usage.cached or 0,
        generated=usage.generated,
        limit=usage.limit,
        finish_reason=usage.finish_reason or "",
        counted_by="hook",
        time=_instant(event.get("time")),
        started_at=_instant(data["started_at"]) if data.get("started_at") else None,
        finished_at=_instant(data["finished_at"]) if data.get("finished_at") else None,
    )
    return _checked(usage, record)


def _checked(usage: Usage, record: Record) -> Entry:
    try:
        record.json()
    except BadRecord as error:
        raise Skipped(f"bad_{error.field}") from None
    return Entry(usage, record)


def _object(line: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(line)
    except ValueError:
        raise Skipped("no_json") from None
    if not isinstance(plain, dict):
        raise Skipped("no_json")
    return plain


def _at(plain: Mapping[str, Any], path: str) -> Any:
    found: Any = plain
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _usage(get: Mapping[str, Any]) -> Usage:
    reason = get["finish_reason"] if isinstance(get["finish_reason"], str) else None
    told: object = get["usage"]
    if told is None:
        if get["prompt_tokens"] is None:
            raise Skipped("no_usage")
        told = {
            "prompt_tokens": get["prompt_tokens"],
            "completion_tokens": get["completion_tokens"],
            "prompt_tokens_details": {"cached_tokens": get["cached_tokens"]},
        }
    try:
        return read_usage(told, limit=get["max_tokens"], finish_reason=reason)
    except MalformedUsage:
        raise Skipped("bad_usage") from None


def _instant(value: object) -> float:
    if type(value) in {int, float} and 0 < value < 10**11:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    try:
        return seconds(value)
    except ValueError:
        raise Skipped("bad_time") from None
