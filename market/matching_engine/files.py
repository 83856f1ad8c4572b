"""Clear books from files: `python -m market.matching_engine.files books FOLDER | cases FILE`. Standard output is CSV only.

`books`: FOLDER/books.csv.gz (or books.csv) with the columns book, side (buy or
sell), price (empty: takes any), quantity; prints `book,lo,hi,price,volume`.
`cases`: a JSON file with `cases`, of which those of kind `call_auction` are
cleared; prints `id,lo,hi,price,volume,fills`, for other kinds the id and
`unsupported`. Numbers are exact decimals, the tick is the finest decimal place of
the file's prices, the lot that of its quantities; an end without a bound is empty.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TextIO

import numpy as np

from accounts.kernel.decimals import plain
from market.matching_engine.book import BID, OFFER, Book, BookInvalid, Result
from market.matching_engine.check import check
from market.matching_engine.clear import clear

_SIDES = {"buy": BID, "sell": OFFER}


class FileInvalid(ValueError):
    """A file that is not what the command says; the text names the place."""


@dataclass(frozen=True, slots=True)
class Row:
    """One order of a file; no price: it takes any."""

    name: str
    side: int
    price: Decimal | None
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Grid:
    """Decimal places of a file's prices and quantities."""

    price: int
    quantity: int


def main(arguments: Sequence[str], out: TextIO = sys.stdout) -> int:
    """Print the results; 2 with one sentence on standard error where a file cannot be read."""
    commands = {"books": _print_books, "cases": _print_cases}
    if len(arguments) != 2 or arguments[0] not in commands:
        print("usage: python -m market.matching_engine.files books FOLDER | cases FILE", file=sys.stderr)
        return 2
    try:
        commands[arguments[0]](Path(arguments[1]), out)
    except (OSError, FileInvalid, BookInvalid) as error:
        print(f"{arguments[1]}: {error}", file=sys.stderr)
        return 2
    return 0


def _print_books(folder: Path, out: TextIO) -> None:
    books = read_books(folder)
    grid = grid_of(row for rows in books.values() for row in rows)
    write = csv.writer(out, lineterminator="\n")
    write.writerow(["book", "lo", "hi", "price", "volume"])
    for name, rows in books.items():
        write.writerow([name, *_figures(cleared(rows, grid), grid)])


def _print_cases(path: Path, out: TextIO) -> None:
    cases = read_cases(path)
    grid = grid_of(row for rows in cases.values() for row in rows or ())
    write = csv.writer(out, lineterminator="\n")
    write.writerow(["id", "lo", "hi", "price", "volume", "fills"])
    for name, rows in cases.items():
        if rows is None:
            write.writerow([name, "unsupported"])
            continue
        result = cleared(rows, grid)
        fills = ";".join(
            f"{row.name}:{plain(int(lots), grid.quantity)}" for row, lots in zip(rows, result.fill, strict=True)
        )
        write.writerow([name, *_figures(result, grid), fills])


def read_books(folder: Path) -> dict[str, list[Row]]:
    """The orders of each book, in the file's order.

    :raises FileInvalid: there is no such file, or a row is not what it should be.
    """
    packed = folder / "books.csv.gz"
    books: dict[str, list[Row]] = {}
    with gzip.open(packed, "rt", newline="") if packed.exists() else (folder / "books.csv").open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            where = f"line {number}"
            found = _row(str(number), row.get("side"), row.get("price"), row.get("quantity"), where)
            books.setdefault(row.get("book") or "", []).append(found)
    return books


def read_cases(path: Path) -> dict[str, list[Row] | None]:
    """The orders of each call auction by id; None for other kinds.

    :raises FileInvalid: not JSON, or a case is not what it should be.
    """
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        return {
            case["id"]: [
                _row(order["id"], order["side"], order.get("price"), order["qty"], f"case {case['id']}")
                for order in case["orders"]
            ]
            if case["kind"] == "call_auction"
            else None
            for case in cases
        }
    except (ValueError, KeyError, TypeError) as error:
        raise error if isinstance(error, FileInvalid) else FileInvalid(f"not a file of cases: {error!r}") from None


def _row(name: str, side: object, price: object, quantity: object, where: str) -> Row:
    if side not in _SIDES:
        raise FileInvalid(f"{where}: a side is buy or sell, not {side!r}")
    limit = None if price in (None, "") else _decimal(price, where)
    lots = _decimal(quantity, where)
    if lots < 0:
        raise FileInvalid(f"{where}: a quantity is not below zero")
    return Row(name, _SIDES[str(side)], limit, lots)


def _decimal(value: object, where: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise FileInvalid(f"{where}: {value!r} is no number") from None
    if not number.is_finite() or abs(number.adjusted()) > 18:
        raise FileInvalid(f"{where}: {value!r} is no number that can be cleared exactly")
    return number


def grid_of(rows: Iterable[Row]) -> Grid:
    """The finest decimal places that the rows use."""
    price = quantity = 0
    for row in rows:
        if row.price is not None:
            price = max(price, _places(row.price))
        quantity = max(quantity, _places(row.quantity))
    return Grid(price, quantity)


def _places(number: Decimal) -> int:
    return max(0, -int(number.normalize().as_tuple().exponent)) if number else 0


def cleared(rows: Sequence[Row], grid: Grid) -> Result:
    """The result of one book in ticks and lots, looked at by the checker too."""
    free = np.array([row.price is None for row in rows])
    book = Book(
        side=np.array([row.side for row in rows], dtype=np.int8),
        price=np.array([0 if row.price is None else int(row.price.scaleb(grid.price)) for row in rows], dtype=np.int64),
        quantity=np.array([int(row.quantity.scaleb(grid.quantity)) for row in rows], dtype=np.int64),
        cohort=np.zeros(len(rows), dtype=np.int64),
        # Ties by the order's name, so that the file's order decides nothing.
        tie=[
            hashlib.sha256(f"{row.name}\0{at}".encode()).digest() for row, at in zip(rows, _repeats(rows), strict=True)
        ],
        takes_any=free,
    )
    result = clear(book)
    check(book, result)
    return result


def _repeats(rows: Sequence[Row]) -> Iterator[int]:
    seen: dict[str, int] = {}
    for row in rows:
        seen[row.name] = seen.get(row.name, -1) + 1
        yield seen[row.name]


def _figures(result: Result, grid: Grid) -> list[str]:
    ends = [result.low, result.high, result.price]
    prices = ["" if end is None else plain(end, grid.price) for end in ends]
    return [*prices, plain(result.volume, grid.quantity)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
