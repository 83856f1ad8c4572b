"""Credit notes: the frozen figure set of one, and its files. As with invoices, every number is written out once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from accounts.kernel.decimals import plain
from billing.documents import csv, pdf, xlsx
from billing.documents.figures import DocumentLine, Party
from billing.documents.labels import LABELS, Language
from billing.documents.table import Column, Row, neutral
from billing.kernel.credit_note import Amounts
from billing.kernel.decimals import grouped
from billing.kernel.words import amount_in_words, amount_in_words_en

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditLine:
    """What is given back of one invoice line; amounts in fen and in yuan."""

    number: int
    product: str
    grade: str
    delivery_date: str
    kind: str
    tax_rate_bps: int
    tax_rate_percent: str
    net_fen: int
    net: str
    tax_fen: int
    tax: str
    amount_fen: int
    amount: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditFigures:
    """Everything that a note's files say; `so_far` is with this note, `left` what is left of the invoice."""

    schema: int
    number: str
    invoice: str
    invoice_verification: str
    currency: str
    seller: Party
    buyer: Party
    issued_at: str
    issue_date: str
    reason: str
    lines: tuple[CreditLine, ...]
    net_fen: int
    net: str
    tax_fen: int
    tax: str
    total_fen: int
    total: str
    total_words_zh: str
    total_words_en: str
    invoice_total: str
    so_far: str
    left: str
    receivable: str
    wallet: str
    link: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, in the order of the fields."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the figure set as canonical JSON."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def verification_code(self) -> str:
        """The first 80 bits of the digest, in groups of four, as printed."""
        return "-".join(self.digest[i : i + 4] for i in range(0, 20, 4))


def from_dict(stored: dict[str, Any]) -> CreditFigures:
    """The figure set as `as_dict` gave it.

    :raises msgspec.ValidationError: if the dict is none.
    """
    return msgspec.convert(stored, CreditFigures)


def line(of: DocumentLine, given: Amounts) -> CreditLine:
    """A line of the note, from the invoice's line and what is given back of it."""
    return CreditLine(
        number=of.number,
        product=of.product,
        grade=of.grade,
        delivery_date=of.delivery_date,
        kind=of.kind,
        tax_rate_bps=of.tax_rate_bps,
        tax_rate_percent=of.tax_rate_percent,
        net_fen=given.net,
        net=yuan(given.net),
        tax_fen=given.tax,
        tax=yuan(given.tax),
        amount_fen=given.amount,
        amount=yuan(given.amount),
    )


def words(total_fen: int) -> dict[str, str]:
    """The total in words, in both languages."""
    return {"total_words_zh": amount_in_words(total_fen), "total_words_en": amount_in_words_en(total_fen)}


def yuan(fen: int) -> str:
    """Fen as yuan with two places."""
    return plain(fen, 2, at_least=2)


def render_json(figures: CreditFigures) -> bytes:
    """The figure set with its digest; decimals are strings."""
    body = {
        "figures": figures.as_dict(),
        "verification": figures.digest,
        "verification_code": figures.verification_code,
    }
    return (json.dumps(body, ensure_ascii=False, indent=2) + "\n").encode()


_COLUMNS = (
    Column("row", width=8), Column("credit_note", width=14), Column("invoice", width=14), Column("line", "number", 8),
    Column("product", width=22), Column("grade"), Column("delivery_date", "day"), Column("tax_rate_percent", "number", 18),
    Column("net", "number"), Column("tax", "number"), Column("amount", "number"), Column("currency"),
    Column("issued_at", width=28), Column("reason", width=50), Column("digest", width=66), Column("kind"),
)  # fmt: skip


def render_csv(figures: CreditFigures) -> bytes:
    """The lines and the total."""
    texts = {column.name for column in _COLUMNS if column.kind == "text"}
    cells = ({name: neutral(cell) if name in texts else cell for name, cell in row.items()} for row in _rows(figures))
    return csv.table([column.name for column in _COLUMNS], cells)


def render_xlsx(figures: CreditFigures) -> bytes:
    """The same as a typed sheet."""
    sheet = xlsx.Sheet("Credit note", _COLUMNS, _rows(figures))
    return xlsx.workbook([sheet], made_at=figures.issued_at, title=figures.number)


def render_pdf(figures: CreditFigures, language: Language) -> bytes:
    """PDF/A-2b in one language."""
    return pdf.compiled(pdf.CREDIT_NOTE, _view(figures, language), issued_at=figures.issued_at)


def _rows(figures: CreditFigures) -> list[Row]:
    whole = {
        "credit_note": figures.number, "invoice": figures.invoice, "currency": figures.currency,
        "issued_at": figures.issued_at, "reason": figures.reason,
    }  # fmt: skip
    lines = [
        {
            "row": "line", "line": str(one.number), "product": one.product, "grade": one.grade,
            "delivery_date": one.delivery_date, "tax_rate_percent": one.tax_rate_percent, "net": one.net,
            "tax": one.tax, "amount": one.amount, "kind": one.kind,
        }
        for one in figures.lines
    ]  # fmt: skip
    total = {
        "row": "total", "net": figures.net, "tax": figures.tax, "amount": figures.total, "digest": figures.digest,
    }  # fmt: skip
    return [{**whole, **row} for row in (*lines, total)]


def _view(figures: CreditFigures, language: Language) -> dict[str, Any]:
    symbol, labels = pdf.SYMBOL[language], LABELS[language]
    return {
        "language": language,
        "labels": labels,
        "number": figures.number,
        "invoice": figures.invoice,
        "currency": figures.currency,
        "issued": pdf.day(figures.issue_date, language),
        "seller": pdf.party(figures.seller),
        "buyer": pdf.party(figures.buyer),
        "reason": figures.reason,
        "lines": [
            {
                "number": str(one.number),
                "product": one.product,
                "detail": one.grade + ("" if one.kind == "usage" else f" / {labels[one.kind]}"),
                "day": pdf.day(one.delivery_date, language),
                "rate": f"{one.tax_rate_percent}%",
                "net": grouped(one.net),
                "tax": grouped(one.tax),
                "amount": grouped(one.amount),
            }
            for one in figures.lines
        ],
        "taxes": _taxes(figures.lines),
        "total": symbol + grouped(figures.total),
        "words": labels["words_prefix"] + (figures.total_words_zh if language == "zh" else figures.total_words_en),
        "invoice_total": symbol + grouped(figures.invoice_total),
        "so_far": symbol + grouped(figures.so_far),
        "left": symbol + grouped(figures.left),
        "receivable": symbol + grouped(figures.receivable),
        "wallet": symbol + grouped(figures.wallet),
        "code": figures.verification_code,
        "link": figures.link,
    }


def _taxes(lines: Sequence[CreditLine]) -> list[dict[str, str]]:
    found = []
    for rate in sorted({one.tax_rate_bps for one in lines}):
        mine = [one for one in lines if one.tax_rate_bps == rate]
        sums = (sum(one.net_fen for one in mine), sum(one.tax_fen for one in mine), sum(one.amount_fen for one in mine))
        net, tax, gross = (grouped(yuan(fen)) for fen in sums)
        found.append({"rate": f"{mine[0].tax_rate_percent}%", "net": net, "tax": tax, "gross": gross})
    return found
