"""The workbook of an invoice, read back by another library."""

import io
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import openpyxl
import pytest
from openpyxl.cell import Cell

from billing.documents import csv as invoice_csv
from billing.documents import xlsx
from billing.documents.figures import DocumentFigures
from tests.billing.documents import sample
from tests.billing.documents.test_csv import read


def opened(figures: DocumentFigures) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(xlsx.render(figures)))


def shown(cell: Cell) -> str:
    """What the cell's own number format makes of its value."""
    if cell.value is None:
        return ""
    if isinstance(cell.value, datetime):
        return cell.value.date().isoformat()
    if isinstance(cell.value, int | float):
        places = len(cell.number_format.partition(".")[2])
        return f"{Decimal(repr(cell.value)):.{places}f}"
    return str(cell.value)


def table(figures: DocumentFigures, sheet: str = "Lines") -> list[dict[str, Cell]]:
    head, *rows = opened(figures)[sheet].iter_rows()
    return [{str(name.value): cell for name, cell in zip(head, row, strict=True)} for row in rows]


class TestXlsx:
    def test_shows_the_cells_of_the_csv_digit_by_digit(self):
        figures = sample.document(120)

        rows = [{name: shown(cell) for name, cell in row.items()} for row in table(figures)]

        assert rows == read(invoice_csv.render(figures))

    def test_has_numbers_as_numbers_and_days_as_dates(self):
        (row, *_, total) = table(sample.document(3))

        for name in ("amount", "net", "tax", "average_price_per_million_st", "input_tokens", "tax_rate_percent"):
            assert isinstance(row[name].value, int | float), name
        assert isinstance(row["delivery_date"].value, datetime)
        assert isinstance(total["amount"].value, int | float)
        assert row["amount"].number_format == "0.00"

    def test_writes_what_a_spreadsheet_would_round_as_text(self):
        (row, *_) = table(sample.document(1))

        assert isinstance(row["exact_amount"].value, str)
        assert xlsx.survives("123456789012.345") and not xlsx.survives("1234567890123.456")
        assert xlsx.survives("-0.00") and xlsx.survives("0.000000000000012345")

    @pytest.mark.parametrize("digits", ["99999999999999.9", "0.000000123456789", "123456789.123456", "-0.0018"])
    def test_a_number_that_survives_reads_back_the_same(self, digits):
        figures = replace(sample.document(1), rounding=digits)

        assert shown(table(figures)[-2]["exact_amount"]) == digits

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
    def test_makes_no_formula_of_text(self, start):
        hostile = f'{start}HYPERLINK("https://evil.example")'
        figures = sample.document(1)
        figures = replace(
            figures, number=hostile, lines=(replace(figures.lines[0], product=hostile, provider=hostile),)
        )

        (row, *_) = table(figures)

        for name in ("invoice", "product", "provider"):
            assert (row[name].value, row[name].data_type) == (f"'{hostile}", "s")
        assert {cell.data_type for sheet in opened(figures) for cells in sheet.iter_rows() for cell in cells} <= set(
            "snd"
        )

    def test_says_who_and_how_much_and_the_tax_by_rate(self):
        figures = sample.document(6)

        head = {row["field"].value: row["value"].value for row in table(figures, "Invoice")}
        taxes = [[shown(cell) for cell in row.values()] for row in table(figures, "Tax")]

        assert head["total"] == figures.total and head["total_words_zh"] == figures.total_words_zh
        assert (head["buyer_name"], head["seller_tax_number"]) == (figures.buyer.name, figures.seller.tax_number)
        assert (head["verification"], head["verification_code"]) == (figures.digest, figures.verification_code)
        assert taxes == [[t.rate_percent, t.net, t.tax, t.gross] for t in figures.taxes]

    def test_is_the_same_on_every_run(self):
        assert xlsx.render(sample.document()) == xlsx.render(sample.document())
