import csv
import io
from dataclasses import replace
from decimal import Decimal

import pytest

from billing.documents import csv as invoice_csv
from tests.billing.documents import sample


def read(document: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(document.decode("utf-8-sig"), newline=""), strict=True))


class TestCsv:
    def test_holds_every_line_then_rounding_then_total(self):
        figures = sample.document(120)

        rows = read(invoice_csv.render(figures))

        assert [row["row"] for row in rows] == ["line"] * 120 + ["rounding", "total"]
        for row, line in zip(rows, figures.lines, strict=False):
            assert row["product"] == line.product
            assert row["provider"] == (line.provider or "several")
            assert [row[k] for k in ("net", "tax", "amount", "exact_amount")] == [
                line.net,
                line.tax,
                line.amount,
                line.exact_amount,
            ]
            assert row["quantity_million_st"] == line.quantity_million_st
            assert row["average_price_per_million_st"] == line.price_per_million_st
            assert row["average_price_per_st"] == line.price_per_st
            assert [int(row[k]) for k in ("input_tokens", "cached_tokens", "output_tokens")] == [
                line.input_tokens,
                line.cached_tokens,
                line.output_tokens,
            ]
        assert (rows[-1]["net"], rows[-1]["tax"], rows[-1]["amount"]) == (figures.net, figures.tax, figures.total)
        assert {row["currency"] for row in rows} == {"CNY"}
        assert {row["period_start"] for row in rows} == {"2026-10-31T16:00:00Z"}

    def test_adds_up_for_a_reader_who_sums_its_columns(self):
        *lines, rounding, total = read(invoice_csv.render(sample.document(50)))

        assert sum(Decimal(row["amount"]) for row in lines) == Decimal(total["amount"])
        assert sum(Decimal(row["exact_amount"]) for row in lines) == Decimal(total["exact_amount"])
        assert Decimal(total["amount"]) + Decimal(rounding["exact_amount"]) == Decimal(total["exact_amount"])

    def test_is_what_excel_and_rfc_4180_expect(self):
        document = invoice_csv.render(sample.document())

        assert document.startswith(b"\xef\xbb\xbfrow,")
        assert document.count(b"\r\n") == document.count(b"\n") == 6 + 3

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_makes_no_formula_of_text(self, start):
        figures = sample.document(1)
        hostile = f'{start}cmd|"/c calc",A1'
        line = replace(figures.lines[0], product=hostile, provider=hostile)

        rows = read(invoice_csv.render(replace(figures, number=hostile, lines=(line,))))

        assert [rows[0][k] for k in ("invoice", "product", "provider")] == [f"'{hostile}"] * 3

    def test_leaves_the_sign_of_a_number_alone(self):
        rows = read(invoice_csv.render(replace(sample.document(), rounding="-0.0018")))

        assert rows[-2]["exact_amount"] == "-0.0018"

    def test_is_the_same_on_every_run(self):
        assert invoice_csv.render(sample.document()) == invoice_csv.render(sample.document())
