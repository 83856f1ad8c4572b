"""One line of the spool: a checksum, the record, its tokens, and where a followed log stood after it.

<crc32 of the rest, 8 hex digits> <record as JSON> TAB <prompt> <completion> [<position as JSON>] LF
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_HEAD = 9  # checksum and space


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line; ``end`` is the offset behind it in its file."""

    record: bytes
    prompt: int
    completion: int
    position: dict[str, Any] | None
    end: int


def spell(record: bytes, prompt: int, completion: int, position: dict[str, Any] | None = None) -> bytes:
    """The line of a record."""
    told = b"" if position is None else b" " + json.dumps(position, separators=(",", ":")).encode()
    rest = b"%b\t%d %d%b" % (record, prompt, completion, told)
    return b"%08x %b\n" % (zlib.crc32(rest), rest)


def read(file: BinaryIO, *, start: int = 0, until: int | None = None) -> Iterator[Line | int]:
    """Lines from an offset on. A damaged one is told by the offset behind it; a last one without its end is left out."""
    file.seek(start)
    at = start
    for raw in file:
        at += len(raw)
        if until is not None and at > until:
            return
        if not raw.endswith(b"\n"):
            return
        yield _parse(raw, at) or at


def _parse(raw: bytes, end: int) -> Line | None:
    rest = raw[_HEAD:-1]
    try:
        if int(raw[: _HEAD - 1], 16) != zlib.crc32(rest):
            return None
        record, _, told = rest.rpartition(b"\t")
        prompt, completion, *position = told.split(b" ", 2)
        return Line(record, int(prompt), int(completion), json.loads(position[0]) if position else None, end)
    except ValueError:
        return None


@dataclass
class Segment:
    """One file of the spool and what its whole lines hold."""

    number: int
    path: Path
    size: int = 0
    records: int = 0
    prompt: int = 0
    completion: int = 0

    @classmethod
    def at(cls, folder: Path, number: int) -> Segment:
        return cls(number, folder / f"{number:010d}.jsonl")

    def add(self, line: Line) -> None:
        """Count one line in."""
        self.records += 1
        self.prompt += line.prompt
        self.completion += line.completion
