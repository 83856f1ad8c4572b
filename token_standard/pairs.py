"""Requests metered both ways, as a table: CSV in, and a digest by which two sides know that they have the same pairs."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from token_standard.exchange import Pair, RateError

COLUMNS = ("uncached", "cached", "generated", "vendor_tokens")
MOST_PAIRS = 10**6
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)


def read_file(path: Path) -> Iterator[Pair]:
    """The pairs of a CSV file.

    :raises RateError: unreadable, another header, a row that is not four whole numbers, or too many.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from read(file, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RateError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def read_bytes(raw: bytes, name: str, *, most: int = MOST_PAIRS) -> list[Pair]:
    """The pairs of a CSV file that was sent.

    :raises RateError: as for :func:`read_file`.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RateError(f"{name}: not UTF-8 text") from None
    return list(read(io.StringIO(text, newline=""), name, most=most))


def read(lines: Iterable[str], name: str, *, most: int = MOST_PAIRS) -> Iterator[Pair]:
    """The pairs of CSV lines; the first is the header.

    :raises RateError: as for :func:`read_file`.
    """
    try:
        rows = csv.DictReader(lines)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise RateError(f"{name}, line 1: expected the header {','.join(COLUMNS)}")
        for number, row in enumerate(rows, start=2):
            values = [row[name] or "" for name in COLUMNS]
            if None in row or not all(_NUMBER.fullmatch(value) for value in values):
                raise RateError(f"{name}, line {number}: expected four whole numbers")
            if number > most + 1:
                raise RateError(f"{name}: more than {most} pairs")
            yield Pair(*map(int, values))
    except csv.Error as error:
        raise RateError(f"{name}: {error}") from error


def digest(pairs: Sequence[Pair]) -> str:
    """SHA-256 of the pairs in their order, as CSV without a header: 64 hexadecimal digits."""
    lines = (f"{one.uncached},{one.cached},{one.generated},{one.vendor}\n" for one in pairs)
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()
