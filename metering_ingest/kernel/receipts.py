"""A buyer's receipts as CSV: what the client of each request was told, one line a request."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from metering_ingest.kernel.events import MAX_EVENTS, MAX_TOKENS

COLUMNS = ("request_id", "prompt", "cached", "completion", "time")
MAX_BYTES = 2**20
_NAME = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,254}")
_COUNT = re.compile(r"[0-9]{1,10}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)


class BadReceipts(Exception):
    """The file is refused whole; `line` counts from 1, the header included, and `field` is the column."""

    def __init__(self, message: str, *, line: int = 1, field: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.field = field


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the buyer's client was told of one request; `cached` is a part of `prompt`."""

    request_id: str
    prompt: int
    cached: int
    completion: int
    time: datetime


def parse(raw: bytes) -> list[Receipt]:
    """Read a file, strictly: these columns in this order, plain whole numbers, instants with their zone.

    :raises BadReceipts: the first line that is wrong.
    """
    if len(raw) > MAX_BYTES:
        raise BadReceipts(f"A file has at most {MAX_BYTES} bytes.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadReceipts("The file is not UTF-8.") from None
    if "\0" in text:
        raise BadReceipts("The file holds a NUL.")
    try:
        lines = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise BadReceipts(f"The file is no CSV: {error}.") from None
    if not lines or tuple(lines[0]) != COLUMNS:
        raise BadReceipts(f"The first line must be {','.join(COLUMNS)}.")
    if len(lines) > MAX_EVENTS + 1:
        raise BadReceipts(f"A file has at most {MAX_EVENTS} requests.", line=MAX_EVENTS + 2)
    return [_receipt(cells, line) for line, cells in enumerate(lines[1:], 2) if cells]


def _receipt(cells: list[str], line: int) -> Receipt:
    if len(cells) != len(COLUMNS):
        raise BadReceipts(f"A line has {len(COLUMNS)} values; this one has {len(cells)}.", line=line)
    request_id, *counts, time = cells
    if not _NAME.fullmatch(request_id):
        raise BadReceipts("A request id is 1 to 255 printable ASCII characters.", line=line, field=COLUMNS[0])
    prompt, cached, completion = (_count(text, line, field) for text, field in zip(counts, COLUMNS[1:4], strict=True))
    if cached > prompt:
        raise BadReceipts("cached exceeds prompt.", line=line, field="cached")
    return Receipt(request_id, prompt, cached, completion, _time(time, line))


def _count(text: str, line: int, field: str) -> int:
    if not _COUNT.fullmatch(text) or int(text) > MAX_TOKENS:
        raise BadReceipts(f"A whole number from 0 to {MAX_TOKENS} is needed.", line=line, field=field)
    return int(text)


def _time(text: str, line: int) -> datetime:
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadReceipts("An instant with its zone is needed, such as 2026-11-24T16:00:00Z.", line=line, field="time")
