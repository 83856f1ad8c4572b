"""Public request traces: the Azure CSVs and Mooncake's JSON lines, gzipped or not, told apart by their content."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, cast

from token_standard.errors import TokenStandardError

CACHE_BLOCK = 512  # prompt tokens behind one hash id
NS_PER_SECOND = 10**9
NS_PER_MILLISECOND = 10**6

_AZURE_HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
_AZURE_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,9}))?", re.ASCII)
_COUNT = re.compile(r"\d{1,15}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GZIP_MAGIC = b"\x1f\x8b"


class TraceError(TokenStandardError):
    """The file cannot be read as a trace. ``line`` counts from 1; 0 is the file as a whole."""

    code = "trace_error"

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(f"{path}, line {line}: {problem}" if line else f"{path}: {problem}")
        self.path, self.line, self.problem = path, line, problem


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One request. ``at_ns`` counts from the Unix epoch (Azure, read as UTC) or from the trace's start (Mooncake)."""

    at_ns: int
    prompt: int
    generated: int
    hash_ids: tuple[int, ...] | None = None  # one per block of the prompt; None where the trace has none

    @property
    def at_seconds(self) -> Fraction:
        return Fraction(self.at_ns, NS_PER_SECOND)


def read_trace(path: str | Path) -> Iterator[TraceRow]:
    """The rows of a trace, in file order, read as they are asked for.

    Any line end and a missing last newline will do; blank lines are passed over.

    :raises TraceError: an unreadable file, an unknown format, or a malformed row, with its line number.
    """
    path = Path(path)
    line, parse = 0, None
    try:
        with _open(path) as lines:
            for line, raw in enumerate(lines, start=1):  # noqa: B007 - the errors below name it
                # A spreadsheet's byte order mark goes; CR goes with the other white space.
                text = raw.decode("utf-8-sig").strip()
                if not text:
                    continue
                if parse is None:
                    parse = _parser_for(text)
                    if parse is _azure_row:
                        continue  # this line was the header
                yield parse(text)
    except _Malformed as error:
        raise TraceError(path, line, str(error)) from error
    except UnicodeDecodeError as error:
        raise TraceError(path, line, "not UTF-8 text") from error
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(path, 0, getattr(error, "strerror", None) or str(error)) from error
    if parse is None:
        raise TraceError(path, 0, "the file is empty")


def cached_tokens(rows: Iterable[TraceRow]) -> Iterator[tuple[TraceRow, int]]:
    """Each row with the prompt tokens that an unlimited prefix cache would have held already.

    Leading blocks that any earlier request had count, the last token of a prompt never does: it must be computed to
    generate anything. Rows without hash ids have nothing cached.
    """
    seen: set[int] = set()
    for row in rows:
        hits = 0
        for block in row.hash_ids or ():
            if block not in seen:
                break
            hits += 1
        yield row, max(0, min(CACHE_BLOCK * hits, row.prompt - 1))
        seen.update(row.hash_ids or ())


class _Malformed(Exception):
    """A row that does not parse; becomes a TraceError with its place."""


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as probe:
        packed = probe.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def _parser_for(first: str) -> Callable[[str], TraceRow]:
    """The format is told by the first line: a CSV header or a JSON object."""
    if first.startswith("{"):
        return _mooncake_row
    if first.split(",") == _AZURE_HEADER:
        return _azure_row
    raise _Malformed(f"expected the header {','.join(_AZURE_HEADER)} or a JSON object")


def _azure_row(text: str) -> TraceRow:
    fields = text.split(",")
    if len(fields) != len(_AZURE_HEADER):
        raise _Malformed(f"expected {len(_AZURE_HEADER)} fields, found {len(fields)}")
    return TraceRow(at_ns=_azure_ns(fields[0]), prompt=_count_text(fields[1]), generated=_count_text(fields[2]))


def _azure_ns(text: str) -> int:
    match = _AZURE_TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        at = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise _Malformed(f"not a time of the form YYYY-MM-DD HH:MM:SS.fffffff: {text!r}") from None
    # Seven decimals do not fit a datetime's microseconds.
    return (at - _EPOCH) // timedelta(seconds=1) * NS_PER_SECOND + int((match[2] or "").ljust(9, "0"))


def _count_text(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise _Malformed(f"not a number of tokens: {text!r}")
    return int(text)


def _mooncake_row(text: str) -> TraceRow:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Malformed(f"not JSON: {error}") from error
    if not isinstance(plain, dict):
        raise _Malformed("expected a JSON object")
    hash_ids = plain.get("hash_ids", [])
    if not isinstance(hash_ids, list) or not all(type(block) is int for block in hash_ids):
        raise _Malformed("hash_ids must be a list of whole numbers")
    return TraceRow(
        at_ns=_count_field(plain, "timestamp") * NS_PER_MILLISECOND,
        prompt=_count_field(plain, "input_length"),
        generated=_count_field(plain, "output_length"),
        hash_ids=tuple(hash_ids),
    )


def _count_field(plain: dict[str, Any], name: str) -> int:
    if name not in plain:
        raise _Malformed(f"{name} is missing")
    value = plain[name]
    if type(value) is not int or value < 0:
        raise _Malformed(f"{name} must be a whole number from 0, not {value!r}")
    return value
