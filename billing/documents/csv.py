"""The CSV of an invoice: RFC 4180, UTF-8 with a byte order mark, one table."""

import csv
import io
from collections.abc import Iterable, Sequence

from billing.documents.figures import DocumentFigures, DocumentLine
from billing.documents.table import Row, neutral

BOM = "\ufeff"  # without it Excel reads Chinese as something else
COLUMNS = (
    "row",  # line, rounding or total
    "invoice",
    "line",
    "product",
    "grade",
    "delivery_date",
    "provider",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "quantity_million_st",
    "average_price_per_million_st",
    "average_price_per_st",
    "tax_rate_percent",
    "net",
    "tax",
    "amount",
    "exact_amount",
    "currency",
    "period_start",
    "period_end",
    "issued_at",
    "digest",
    "kind",  # of a line: usage, take_or_pay (bought, not drawn) or cancellation (fee)
)
SEVERAL = "several"
_TEXTS = {"invoice", "product", "grade", "provider", "currency"}


def render(figures: DocumentFigures) -> bytes:
    """The lines, the rounding (exact amount - amount) and the total; decimals plain, times RFC 3339 UTC."""
    return table(COLUMNS, map(neutral_row, rows(figures)))


def table(columns: Sequence[str], written: Iterable[Row], *, head: bool = True) -> bytes:
    """Rows by column name, with a head and the mark that Excel wants before it."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    if head:
        writer.writeheader()
    writer.writerows(written)
    return ((BOM if head else "") + text.getvalue()).encode()


def rows(figures: DocumentFigures) -> list[Row]:
    """The cells of every row, before anything is neutralised; the XLSX has the same."""
    whole = {
        "invoice": figures.number,
        "currency": figures.currency,
        "period_start": figures.period_start,
        "period_end": figures.period_end,
        "issued_at": figures.issued_at,
    }
    rounding = {"row": "rounding", "exact_amount": figures.rounding}
    total = {
        "row": "total",
        "net": figures.net,
        "tax": figures.tax,
        "amount": figures.total,
        "exact_amount": figures.exact_amount,
        "digest": figures.digest,
    }
    return [{**whole, **row} for row in (*map(_line, figures.lines), rounding, total)]


def neutral_row(row: Row) -> Row:
    """The row with its text cells neutralised; numbers and dates keep their sign."""
    return {name: neutral(cell) if name in _TEXTS else cell for name, cell in row.items()}


def _line(line: DocumentLine) -> Row:
    return {
        "row": "line",
        "line": str(line.number),
        "product": line.product,
        "grade": line.grade,
        "delivery_date": line.delivery_date,
        "provider": SEVERAL if line.provider is None else line.provider,
        "input_tokens": str(line.input_tokens),
        "cached_tokens": str(line.cached_tokens),
        "output_tokens": str(line.output_tokens),
        "quantity_million_st": line.quantity_million_st,
        "average_price_per_million_st": line.price_per_million_st,
        "average_price_per_st": line.price_per_st,
        "tax_rate_percent": line.tax_rate_percent,
        "net": line.net,
        "tax": line.tax,
        "amount": line.amount,
        "exact_amount": line.exact_amount,
        "digest": line.digest,
        "kind": line.kind,
    }
