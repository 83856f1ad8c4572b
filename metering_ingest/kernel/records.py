"""The records face: one JSON body of usage records in, `UsageEvent`s and refusals by code and field out.

What is wrong with the body as a whole refuses all of it; a record that is wrong
alone is refused alone. The fast path decodes with msgspec, which takes the last
of two equal members, as most parsers do: the members are counted in the text,
and where the count does not fit, the strict and slower reader decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from accounts.kernel import ids
from accounts.kernel.strict_json import MalformedJSON, loads
from metering_ingest.kernel.events import MAX_EVENTS, MAX_TOKENS, PLAIN, TYPE, Aggregate, UsageEvent, Voided

MAX_SEQUENCE = 10**15
MAX_SUM = 10**18
NO_ALLOCATION = UUID(int=0)

_Plain = Annotated[str, Meta(pattern=rf"\A{PLAIN}\Z")]
_PlainOrEmpty = Annotated[str, Meta(pattern=rf"\A({PLAIN})?\Z")]
_Format = Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{1,20}\Z")]
_Count = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
_Sequence = Annotated[int, Meta(ge=1, le=MAX_SEQUENCE)]
_Sum = Annotated[int, Meta(ge=0, le=MAX_SUM)]
_Instant = Annotated[datetime, Meta(tz=True)]
_Seconds = Annotated[str, Meta(pattern=r"\A[0-9]{1,9}(\.[0-9]{1,6})?\Z")]
_Digest = Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{1,80}\Z")]
_EPOCH = r"\A[A-Za-z0-9_-]{1,64}\Z"
# A closing quotation mark apart from its colon would hide a member from the count.
_SPACED_COLON = re.compile(rb'"[ \t\r\n]+:')

_MEMBER = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`\Z", re.DOTALL)


class MalformedBody(ValueError):
    """The body as a whole is wrong; nothing of it is stored. `field` is its first wrong member."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class _Voids(msgspec.Struct, forbid_unknown_fields=True):
    source: _Plain
    id: _Plain


class _Aggregate(msgspec.Struct, forbid_unknown_fields=True):
    records: Annotated[int, Meta(ge=1, le=MAX_TOKENS)]
    digest: _Digest


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    id: _Plain
    time: _Instant
    seq: _Sequence | None = None
    source: _Plain = "agent"
    request_id: _PlainOrEmpty = ""
    allocation: str = ""
    card: _Digest | None = None
    prompt_tokens: _Count | None = None
    cached_tokens: _Count = 0
    completion_tokens: _Count | None = None
    max_tokens: _Count | None = None
    finish_reason: _PlainOrEmpty = ""
    served_format: _Format | None = None
    counted_by: Literal["usage", "counters", "hook"] | None = None
    started_at: _Instant | None = None
    finished_at: _Instant | None = None
    gpu_seconds: _Seconds | None = None
    draft_tokens: _Count | None = None
    accepted_tokens: _Count | None = None
    voids: _Voids | None = None
    aggregate: _Aggregate | None = None


class Checkpoint(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What an agent says it has made of an epoch so far: highest sequence, how many of them, and their sums."""

    seq: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)]
    records: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)]
    prompt_tokens: _Sum
    completion_tokens: _Sum
    closed: bool


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    records: list[Any]
    epoch: Annotated[str, Meta(pattern=_EPOCH)] | None = None
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be read; the others of its body can."""

    id: str
    code: str
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """One body: its records in order with their sequences; epoch and checkpoint where an agent sent it."""

    records: Sequence[UsageEvent | Rejected]
    sequences: Sequence[int | None]
    epoch: str | None
    checkpoint: Checkpoint | None


def parse(raw: bytes, *, signed: bool) -> Batch:
    """Read a body. Only a signed one has an epoch, sequences and a checkpoint, and then every record a sequence.

    :raises MalformedBody: see there.
    """
    read = _fast(raw)
    if read is None:
        return _slow(raw, signed)
    body, records = read
    _check_body(body, signed)
    made: list[UsageEvent | Rejected] = []
    sequences: list[int | None] = []
    for record in records:
        made.append(_made(record, signed))
        sequences.append(record.seq)
    return Batch(made, sequences, body.epoch, body.checkpoint)


def _fast(raw: bytes) -> tuple[_Body, list[_Record]] | None:
    """Body and records where all is well; None where the strict reader must say what is not."""
    if b"\\" in raw or _SPACED_COLON.search(raw):
        return None
    try:
        value = msgspec.json.decode(raw)
        body = msgspec.convert(value, _Body)
        records = msgspec.convert(body.records, list[_Record])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    members = len(value) + sum(map(len, body.records)) + (5 if body.checkpoint else 0)
    members += 2 * sum((one.voids is not None) + (one.aggregate is not None) for one in records)
    return (body, records) if members == raw.count(b'":') else None


def _slow(raw: bytes, signed: bool) -> Batch:
    """The same record by record, from JSON that was read strictly."""
    try:
        body = msgspec.convert(loads(raw), _Body)
    except MalformedJSON as error:
        raise MalformedBody(str(error)) from None
    except msgspec.ValidationError as error:
        message, field = _split(error)
        raise MalformedBody(message, field=field) from None
    _check_body(body, signed)
    made: list[UsageEvent | Rejected] = []
    sequences: list[int | None] = []
    for value in body.records:
        try:
            record = msgspec.convert(value, _Record)
        except msgspec.ValidationError as error:
            message, field = _split(error)
            made.append(Rejected(_name(value), _code(message), field, message))
            sequences.append(None)
        else:
            made.append(_made(record, signed))
            sequences.append(record.seq)
    return Batch(made, sequences, body.epoch, body.checkpoint)


def _check_body(body: _Body, signed: bool) -> None:
    if len(body.records) > MAX_EVENTS:
        raise MalformedBody(f"A body holds at most {MAX_EVENTS} records.", field="records")
    if signed and body.epoch is None:
        raise MalformedBody("An agent names the epoch of its sequences.", field="epoch")
    if not signed and (body.epoch is not None or body.checkpoint is not None):
        raise MalformedBody("Only a signed body has an epoch and a checkpoint.", field="epoch")


def _made(record: _Record, signed: bool) -> UsageEvent | Rejected:
    """The event of a record whose members are right one by one."""
    if wrong := _wrong(record, signed):
        return wrong
    allocation_id = _allocation(record.allocation) or NO_ALLOCATION
    prompt, completion, card = record.prompt_tokens or 0, record.completion_tokens or 0, record.card or ""
    try:
        time = record.time.astimezone(UTC)
        started = record.started_at.astimezone(UTC) if record.started_at else None
        finished = record.finished_at.astimezone(UTC) if record.finished_at else None
    except OverflowError:
        return Rejected(record.id, "out_of_range", "time", "An instant lies beyond the calendar.")
    voids, aggregate = record.voids, record.aggregate
    return UsageEvent(
        record.source, record.id, TYPE, time, record.request_id, allocation_id, card, prompt, record.cached_tokens,
        completion, record.max_tokens, record.finish_reason, started, finished, record.served_format or "",
        record.counted_by or "", int(Decimal(record.gpu_seconds) * 10**6) if record.gpu_seconds else None,
        record.draft_tokens, record.accepted_tokens, Voided(voids.source, voids.id) if voids else None,
        Aggregate(aggregate.records, aggregate.digest) if aggregate else None,
    )  # fmt: skip


def _wrong(record: _Record, signed: bool) -> Rejected | None:
    """What no member shows alone; None where all fits."""
    found: tuple[str, str, str] | None = None
    if (record.seq is None) is signed:
        found = ("required" if signed else "not_signed", "seq", "A sequence goes with a signature, and only with one.")
    elif record.voids is None and (missing := _missing(record)):
        found = ("required", missing, "This field is required.")
    elif record.voids is None and _allocation(record.allocation) is None:
        found = ("bad_id", "allocation", "This is no allocation id.")
    elif record.cached_tokens > (record.prompt_tokens or 0):
        found = ("out_of_range", "cached_tokens", "cached_tokens exceeds prompt_tokens.")
    elif (record.accepted_tokens or 0) > (record.draft_tokens or 0):
        found = ("out_of_range", "accepted_tokens", "accepted_tokens exceeds draft_tokens.")
    return Rejected(record.id, *found) if found else None


def _missing(record: _Record) -> str:
    """The first member that a record which counts must have, and has not."""
    if record.card is None:
        return "card"
    if record.prompt_tokens is None:
        return "prompt_tokens"
    if record.completion_tokens is None:
        return "completion_tokens"
    return "" if record.allocation else "allocation"


@lru_cache(maxsize=65_536)
def _allocation(text: str) -> UUID | None:
    try:
        return ids.decode("alc", text)
    except ids.BadId:
        return None


def _split(error: msgspec.ValidationError) -> tuple[str, str]:
    """The sentence and the field of msgspec's message; a member that is missing or unknown is the field."""
    message, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("key in ").strip("`").removeprefix("$").lstrip(".")
    named = _MEMBER.match(message)
    return message, ".".join(filter(None, [field, named[1] if named else ""]))


def _code(message: str) -> str:
    if message.startswith("Object contains unknown field"):
        return "unknown_field"
    if message.startswith("Object missing required field"):
        return "required"
    return "wrong_type" if ", got " in message else "out_of_range"


def _name(value: Any) -> str:
    """The id of what could not be read, so that its sender knows it again; empty where it has none."""
    found = value.get("id") if isinstance(value, dict) else None
    return found[:255] if isinstance(found, str) else ""
