"""The CSV of an invoice: RFC 4180, UTF-8 with a byte order mark, one table."""

import csv
import io

from billing.documents.figures import DocumentFigures, DocumentLine

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


def render(figures: DocumentFigures) -> bytes:
    """The lines, the rounding (exact amount - amount) and the total; decimals plain, times RFC 3339 UTC."""
    whole = {
        "invoice": text(figures.number),
        "currency": text(figures.currency),
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
    written = io.StringIO(newline="")
    table = csv.DictWriter(written, COLUMNS, restval="", lineterminator="\r\n")
    table.writeheader()
    table.writerows({**whole, **row} for row in (*map(_line, figures.lines), rounding, total))
    return (BOM + written.getvalue()).encode()


def text(value: str) -> str:
    """A text cell that no spreadsheet takes for a formula; numbers must not go through here."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _line(line: DocumentLine) -> dict[str, str]:
    return {
        "row": "line",
        "line": str(line.number),
        "product": text(line.product),
        "grade": text(line.grade),
        "delivery_date": line.delivery_date,
        "provider": SEVERAL if line.provider is None else text(line.provider),
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
