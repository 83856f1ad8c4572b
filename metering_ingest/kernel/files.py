"""A file of usage records for a backfill: one JSON object a line, a JSON array, or a body of the records face."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from metering_ingest.kernel.records import Batch, MalformedBody, Rejected, parse

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_RECORDS = 200_000
MAX_RECORD_BYTES = 16 * 1024
_BLANK = b" \t\r"


class BadFile(ValueError):
    """Not a file of records. `line` is the first wrong one, from 1; 0 where the file as a whole is wrong."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    records: list[msgspec.Raw]


def split(raw: bytes) -> list[bytes]:
    """The records of a file, each on one line of its own; whether one can be read is judged when it is taken in.

    :raises BadFile: empty, too large, too many, or no list of JSON objects.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise BadFile(f"A file has at most {MAX_FILE_BYTES // 2**20} MiB.")
    lines = _listed(raw)
    if lines is None:
        lines = raw.split(b"\n")
    found = []
    for number, line in enumerate(lines, 1):
        text = line.strip(_BLANK)
        if not text:
            continue
        if len(text) > MAX_RECORD_BYTES:
            raise BadFile(f"A record has at most {MAX_RECORD_BYTES} bytes.", line=number)
        if not _is_object(text):
            raise BadFile("This is no JSON object.", line=number)
        found.append(text)
        if len(found) > MAX_RECORDS:
            raise BadFile(f"A file has at most {MAX_RECORDS} records.")
    if not found:
        raise BadFile("The file has no records.")
    return found


def read(lines: Sequence[bytes]) -> Batch:
    """The records of some lines of `split`, as a bearer key would send them; a line that cannot be read is `Rejected`."""
    try:
        batch = parse(b'{"records":[' + b",".join(lines) + b"]}", signed=False)
    except MalformedBody:
        return _one_by_one(lines)
    return batch if len(batch.records) == len(lines) else _one_by_one(lines)


def _one_by_one(lines: Sequence[bytes]) -> Batch:
    records = []
    for line in lines:
        try:
            (record,) = parse(b'{"records":[' + line + b"]}", signed=False).records
        except MalformedBody as error:
            record = Rejected("", "malformed_body", error.field, str(error))
        records.append(record)
    return Batch(records, [None] * len(records), None, None)


def _listed(raw: bytes) -> list[bytes] | None:
    """The members of a JSON array or of a body's `records`, without their line breaks; None for other files."""
    members: list[msgspec.Raw]
    try:
        if raw.lstrip()[:1] == b"[":
            members = msgspec.json.decode(raw, type=list[msgspec.Raw])
        else:
            members = msgspec.json.decode(raw, type=_Body).records
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # A line break inside a JSON text is white space: within strings it is escaped.
    return [bytes(one).replace(b"\n", b" ") for one in members]


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
