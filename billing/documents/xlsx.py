"""Workbooks: typed cells, no formulas, the same bytes for the same figures.

A spreadsheet keeps numbers as binary floating point with 15 significant
digits. A decimal that does not survive that is written as text, so that no
digit is ever lost; every other one is a number with just its own places.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from billing.documents.csv import COLUMNS, rows
from billing.documents.figures import DocumentFigures
from billing.documents.table import Column, Kind, Row, neutral

_EXACT_DIGITS = 15
_LONGEST_TEXT = 32_767
_NUMBERS = {
    "line", "input_tokens", "cached_tokens", "output_tokens", "quantity_million_st", "average_price_per_million_st",
    "average_price_per_st", "tax_rate_percent", "net", "tax", "amount", "exact_amount",
}  # fmt: skip
_WIDTHS = {"product": 22, "provider": 26, "digest": 66, "exact_amount": 26, "period_start": 22, "period_end": 22,
           "issued_at": 28, "quantity_million_st": 22, "average_price_per_million_st": 26}  # fmt: skip
LINE_COLUMNS = tuple(
    Column(
        name,
        "number" if name in _NUMBERS else "day" if name == "delivery_date" else "text",
        _WIDTHS.get(name, max(12, len(name) + 2)),
    )
    for name in COLUMNS
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet: a head row that stays in view, then rows by column name."""

    name: str
    columns: Sequence[Column]
    rows: Iterable[Row]


def render(figures: DocumentFigures) -> bytes:
    """An invoice: its head, its lines with rounding and total as in the CSV, and the tax by rate."""
    return workbook(
        [
            Sheet("Invoice", (Column("field", width=24), Column("value", width=70)), _head(figures)),
            Sheet("Lines", LINE_COLUMNS, rows(figures)),
            Sheet("Tax", _TAX, _taxes(figures)),
        ],
        made_at=figures.issued_at,
        title=figures.number,
    )


def workbook(sheets: Sequence[Sheet], *, made_at: str, title: str) -> bytes:
    """Write sheets; `made_at` (RFC 3339) is the only time in the file."""
    written = io.BytesIO()
    book = Workbook(
        written,
        {"in_memory": True, "strings_to_formulas": False, "strings_to_numbers": False, "strings_to_urls": False},
    )
    created = datetime.fromisoformat(made_at).replace(tzinfo=None, microsecond=0)
    book.set_properties({"title": title, "created": created})
    formats = _Formats(book)
    for sheet in sheets:
        _write(book.add_worksheet(sheet.name), sheet, formats)
    book.close()
    return written.getvalue()


class _Formats:
    """Cell formats of one workbook, each made once."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self._numbers: dict[str, Any] = {}
        self.head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self.day = book.add_format({"num_format": "yyyy-mm-dd", "align": "left"})
        self.text = book.add_format({"num_format": "@"})
        self.right = book.add_format({"num_format": "@", "align": "right"})

    def number(self, places: int) -> Any:
        pattern = "0" + ("." + "0" * places if places else "")
        if pattern not in self._numbers:
            self._numbers[pattern] = self._book.add_format({"num_format": pattern})
        return self._numbers[pattern]


def _write(page: Worksheet, sheet: Sheet, formats: _Formats) -> None:
    for at, column in enumerate(sheet.columns):
        page.set_column(at, at, column.width)
        page.write_string(0, at, column.name, formats.head)
    page.freeze_panes(1, 0)
    last = 0
    for last, row in enumerate(sheet.rows, start=1):
        for at, column in enumerate(sheet.columns):
            if value := row.get(column.name, ""):
                _cell(page, (last, at), column.kind, value, formats)
    if last:
        page.autofilter(0, 0, last, len(sheet.columns) - 1)


def _cell(page: Worksheet, at: tuple[int, int], kind: Kind, value: str, formats: _Formats) -> None:
    if kind == "day":
        page.write_datetime(*at, datetime.combine(date.fromisoformat(value), datetime.min.time()), formats.day)
    elif kind == "number" and survives(value):
        page.write_number(*at, float(value), formats.number(len(value.partition(".")[2])))
    elif kind == "number":
        page.write_string(*at, value, formats.right)
    else:
        page.write_string(*at, neutral(value)[:_LONGEST_TEXT], formats.text)


def survives(decimal: str) -> bool:
    """Whether a plain decimal keeps every digit in a spreadsheet's number."""
    digits = decimal.lstrip("-").replace(".", "").lstrip("0")
    return len(digits) <= _EXACT_DIGITS


def _head(figures: DocumentFigures) -> list[Row]:
    parties = {
        f"{side}_{field}": getattr(party, field)
        for side, party in (("seller", figures.seller), ("buyer", figures.buyer))
        for field in ("name", "tax_number", "address", "phone", "bank", "bank_account")
    }
    fields = {
        "number": figures.number,
        "currency": figures.currency,
        "first_date": figures.first_date,
        "last_date": figures.last_date,
        "issue_date": figures.issue_date,
        "issued_at": figures.issued_at,
        "due_date": figures.due_date or "",
        **parties,
        "net": figures.net,
        "tax": figures.tax,
        "total": figures.total,
        "total_words_zh": figures.total_words_zh,
        "total_words_en": figures.total_words_en,
        "exact_amount": figures.exact_amount,
        "rounding": figures.rounding,
        "settled_from_wallet": figures.settled,
        "due": figures.due,
        "verification": figures.digest,
        "verification_code": figures.verification_code,
        "link": figures.link,
        **{f"note_{n}": note for n, note in enumerate(figures.notes, start=1)},
    }
    return [{"field": field, "value": value} for field, value in fields.items()]


_TAX = (Column("rate_percent", "number"), Column("net", "number", 18), Column("tax", "number", 18),
        Column("gross", "number", 18))  # fmt: skip


def _taxes(figures: DocumentFigures) -> list[Row]:
    return [{"rate_percent": t.rate_percent, "net": t.net, "tax": t.tax, "gross": t.gross} for t in figures.taxes]
