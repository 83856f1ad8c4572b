"""Usage events: CloudEvents 1.0 in, frozen `UsageEvent` out, everything else refused by name.

Source of the envelope: the CloudEvents JSON format and HTTP binding; the
contract of the path (structured, batch, binary; 204 after commit) is the one
that OpenMeter's clients speak.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import msgspec

from accounts.kernel import ids
from accounts.kernel.strict_json import MalformedJSON, loads

TYPE = "tokenspot.usage.v1"
MAX_EVENTS = 5_000
MAX_TOKENS = 10**9
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY = "application/json"

_BINARY_ATTRIBUTES = ("specversion", "id", "source", "type", "time", "subject")
PLAIN = r"[\x21-\x7e][\x20-\x7e]{0,254}"
_PLAIN = re.compile(PLAIN)


class MalformedEvent(Exception):
    """An event that cannot be read; nothing of its batch is stored.

    `index` is its place in the batch, from 0; `field` its first wrong member.
    """

    def __init__(self, message: str, *, index: int = 0, field: str = "") -> None:
        super().__init__(message)
        self.index = index
        self.field = field


class UnsupportedContentType(Exception):
    """None of the three CloudEvents forms."""


class Voided(msgspec.Struct, frozen=True):
    """The record that a void takes back, by the names that its sender gave it."""

    source: str
    id: str


class Aggregate(msgspec.Struct, frozen=True):
    """How many requests one record stands for, and the SHA-256 of the raw file that lists them."""

    records: int
    digest: str


class UsageEvent(msgspec.Struct, frozen=True):
    """One request as one meter counted it. Tokens are counts; `time` is the instant of the first token.

    `prompt_tokens` includes `cached_tokens`. `max_tokens` is the limit that the
    request named: what was generated beyond it is never billed. A record with
    `voids` counts nothing itself. `gpu_micros` are microseconds of device time.
    """

    source: str
    id: str
    type: str
    time: datetime
    subject: str
    allocation_id: UUID
    card_digest: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    max_tokens: int | None
    finish_reason: str
    started_at: datetime | None
    finished_at: datetime | None
    served_format: str = ""
    counted_by: str = ""
    gpu_micros: int | None = None
    draft_tokens: int | None = None
    accepted_tokens: int | None = None
    voids: Voided | None = None
    aggregate: Aggregate | None = None

    @property
    def billable_tokens(self) -> int:
        """Generated tokens that count: never more than the request's own limit."""
        return self.completion_tokens if self.max_tokens is None else min(self.completion_tokens, self.max_tokens)


class _Usage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    allocation: str
    card: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    max_tokens: int | None = None
    finish_reason: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class _Envelope(msgspec.Struct, frozen=True):
    """Members that CloudEvents names; others are extensions and may stand beside them."""

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    data: _Usage
    subject: str = ""


def parse(raw: bytes, *, content_type: str, headers: Mapping[str, str] | None = None) -> list[UsageEvent]:
    """Read a request body in any of the three forms, in order.

    :raises UnsupportedContentType: not a CloudEvents form.
    :raises MalformedEvent: the first event that is wrong, with its index and field.
    """
    form = content_type.split(";", 1)[0].strip().lower()
    try:
        if form == BATCH:
            return _batch(loads(raw))
        if form == STRUCTURED:
            return [_event(loads(raw), 0)]
        if form == BINARY and headers is not None and "ce-specversion" in headers:
            # The HTTP binding percent-encodes header values: the same event must read the same in every form.
            attributes = {
                name: unquote(headers[f"ce-{name}"]) for name in _BINARY_ATTRIBUTES if f"ce-{name}" in headers
            }
            return [_event({**attributes, "data": loads(raw)}, 0)]
    except MalformedJSON as error:
        raise MalformedEvent(str(error)) from None
    raise UnsupportedContentType(form)


def _batch(value: Any) -> list[UsageEvent]:
    if not isinstance(value, list):
        raise MalformedEvent("A batch is a JSON array of events.")
    if len(value) > MAX_EVENTS:
        raise MalformedEvent(f"A batch holds at most {MAX_EVENTS} events; this one has {len(value)}.", index=MAX_EVENTS)
    return [_event(item, index) for index, item in enumerate(value)]


def _event(value: Any, index: int) -> UsageEvent:
    try:
        event = msgspec.convert(value, _Envelope)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise MalformedEvent(message, index=index, field=path.strip("`.")) from None
    if event.specversion != "1.0":
        raise MalformedEvent("specversion must be 1.0", index=index, field="specversion")
    if event.type != TYPE:
        raise MalformedEvent(f"type must be {TYPE}", index=index, field="type")
    _check_texts(event, index)
    _check_counts(event.data, index)
    time = _utc(event.time, index, "time")
    try:
        allocation_id = ids.decode("alc", event.data.allocation)
    except ids.BadId:
        raise MalformedEvent("allocation is no allocation id", index=index, field="data.allocation") from None
    return UsageEvent(
        source=event.source,
        id=event.id,
        type=event.type,
        time=time,
        subject=event.subject,
        allocation_id=allocation_id,
        card_digest=event.data.card,
        prompt_tokens=event.data.prompt_tokens,
        cached_tokens=event.data.cached_tokens,
        completion_tokens=event.data.completion_tokens,
        max_tokens=event.data.max_tokens,
        finish_reason=event.data.finish_reason,
        started_at=_utc_if_said(event.data.started_at, index, "data.started_at"),
        finished_at=_utc_if_said(event.data.finished_at, index, "data.finished_at"),
    )


def _check_texts(event: _Envelope, index: int) -> None:
    texts = {"id": event.id, "source": event.source, "data.card": event.data.card}
    optional = {"subject": event.subject, "data.finish_reason": event.data.finish_reason}
    for field, text in [*texts.items(), *((k, v) for k, v in optional.items() if v)]:
        if not _PLAIN.fullmatch(text):
            raise MalformedEvent("must be 1 to 255 printable ASCII characters", index=index, field=field)


def _check_counts(data: _Usage, index: int) -> None:
    counts = {name: getattr(data, name) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")}
    if data.max_tokens is not None:
        counts["max_tokens"] = data.max_tokens
    for name, count in counts.items():
        if not 0 <= count <= MAX_TOKENS:
            raise MalformedEvent(f"must lie in 0..{MAX_TOKENS}", index=index, field=f"data.{name}")
    if data.cached_tokens > data.prompt_tokens:
        raise MalformedEvent("cached_tokens exceeds prompt_tokens", index=index, field="data.cached_tokens")


def _utc_if_said(instant: datetime | None, index: int, field: str) -> datetime | None:
    return None if instant is None else _utc(instant, index, field)


def _utc(instant: datetime, index: int, field: str) -> datetime:
    """The instant in UTC: one instant is one content, and the database knows no offset of 16 hours or more."""
    if instant.tzinfo is None:
        raise MalformedEvent("must name its UTC offset", index=index, field=field)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise MalformedEvent("lies beyond the calendar", index=index, field=field) from None
