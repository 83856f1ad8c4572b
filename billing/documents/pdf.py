"""The PDF of an invoice: typst lays out what a figure set says, and computes nothing."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import typst

from billing.documents import glyphs
from billing.documents.figures import DocumentFigures, DocumentLine, Party
from billing.documents.labels import LABELS, Language
from billing.kernel.decimals import grouped

INVOICE, CREDIT_NOTE = (Path(__file__).parent / name for name in ("invoice.typ", "credit_note.typ"))
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SYMBOL: dict[Language, str] = {"zh": "¥", "en": "CN¥"}
NOTHING = "—"

_one_at_a_time = threading.Lock()


def render(figures: DocumentFigures, language: Language) -> bytes:
    """PDF/A-2b in one language; the same figures give the same bytes.

    Text from the figures is data to typst, never markup. Line ends and tabs
    become spaces.

    :raises MissingGlyphs: text holds characters that the fonts cannot show.
    """
    return compiled(INVOICE, _view(figures, language), issued_at=figures.issued_at)


def compiled(template: Path, written: dict[str, Any], *, issued_at: str) -> bytes:
    """A template with what it prints, which has a `number`; the only time in the file is that of issue.

    :raises MissingGlyphs: text holds characters that the fonts cannot show.
    """
    view = _clean(written)
    glyphs.refuse_missing(_texts(view))
    glyphs.refuse_missing([view["number"]], glyphs.BOLD)
    data = json.dumps(view, ensure_ascii=False)
    with _one_at_a_time:  # the compiler keeps the inputs of its last call
        pdf = _compiler(template).compile(
            sys_inputs={"d": data},
            format="pdf",
            pdf_standards=["a-2b"],
            timestamp=datetime.fromisoformat(issued_at).replace(microsecond=0),  # typst takes whole seconds
        )
    assert isinstance(pdf, bytes)
    return pdf


@cache
def _compiler(template: Path) -> typst.Compiler:
    """Made on first use, after a worker has forked: it owns threads. Typst's own fonts are left out too."""
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[glyphs.FONTS])
    return typst.Compiler(template, font_paths=fonts)


def _view(figures: DocumentFigures, language: Language) -> dict[str, Any]:
    """What the template prints, as strings."""
    symbol = SYMBOL[language]
    labels = LABELS[language]
    prepaid = figures.due_fen == 0
    return {
        "language": language,
        "labels": labels,
        "number": figures.number,
        "currency": figures.currency,
        "period": f"{day(figures.first_date, language)} – {day(figures.last_date, language)}",
        "issued": day(figures.issue_date, language),
        "due_date": day(figures.due_date, language) if figures.due_date else NOTHING,
        "seller": party(figures.seller),
        "buyer": party(figures.buyer),
        "lines": [_line(line, language) for line in figures.lines],
        "taxes": [
            {
                "rate": f"{tax.rate_percent}%",
                "net": grouped(tax.net),
                "tax": grouped(tax.tax),
                "gross": grouped(tax.gross),
            }
            for tax in figures.taxes
        ],
        "net": symbol + grouped(figures.net),
        "tax": symbol + grouped(figures.tax),
        "total": symbol + grouped(figures.total),
        "words": labels["words_prefix"] + (figures.total_words_zh if language == "zh" else figures.total_words_en),
        "exact": _signed(symbol, figures.exact_amount),
        "rounding": _signed(symbol, figures.rounding),
        "settled": symbol + grouped(figures.settled),
        "due": labels["nothing_due"] if prepaid else symbol + grouped(figures.due),
        "notes": list(figures.notes),
        "code": figures.verification_code,
        "link": figures.link,
    }


def party(party: Party) -> dict[str, str]:
    fields = ("name", "tax_number", "address", "phone", "bank", "bank_account")
    return {field: getattr(party, field) or NOTHING for field in fields}


def _line(line: DocumentLine, language: Language) -> dict[str, str]:
    provider = LABELS[language]["several"] if line.provider is None else line.provider
    return {
        "number": str(line.number),
        "product": line.product,
        "detail": f"{line.grade} / {provider}" + ("" if line.kind == "usage" else f" / {LABELS[language][line.kind]}"),
        "day": day(line.delivery_date, language),
        "input": f"{line.input_tokens:,}",
        "cached": f"{line.cached_tokens:,}",
        "output": f"{line.output_tokens:,}",
        "quantity": grouped(line.quantity_million_st),
        "price_million": grouped(line.price_per_million_st),
        "price_token": line.price_per_st,
        "net": grouped(line.net),
        "rate": f"{line.tax_rate_percent}%",
        "tax": grouped(line.tax),
        "amount": grouped(line.amount),
    }


def day(iso: str, language: Language) -> str:
    if language == "zh":
        return iso
    day = date.fromisoformat(iso)
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _signed(symbol: str, decimal: str) -> str:
    """The sign before the symbol, as a minus and not a hyphen."""
    return f"−{symbol}{grouped(decimal[1:])}" if decimal.startswith("-") else symbol + grouped(decimal)


def _texts(view: Any) -> Iterator[str]:
    if isinstance(view, str):
        yield view
    else:
        for part in view.values() if isinstance(view, dict) else view:
            yield from _texts(part)


def _clean(view: Any) -> Any:
    """Line ends and tabs as spaces: the fonts have no sign for them."""
    if isinstance(view, str):
        return re.sub(r"[\t\r\n]+", " ", view)
    if isinstance(view, dict):
        return {key: _clean(part) for key, part in view.items()}
    return [_clean(part) for part in view]
