"""The frozen figure set: the one source of every file of an invoice.

Each number stands twice: as an integer at its scale, and as the exact plain
decimal that PDF, CSV and JSON print, so that all of them agree digit by digit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from accounts.kernel.decimals import plain
from billing.kernel.invoice import InvoiceFigures, InvoiceLine, TaxGroup
from billing.kernel.periods import Period, market_date
from billing.kernel.words import amount_in_words, amount_in_words_en

SCHEMA = 2  # 2 says of each line what it is paid for; in 1 all of it is usage


class UnusableHeader(ValueError):
    """The header contradicts the figures, or holds what must not be printed."""

    code = "unusable_header"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Seller or buyer as on a tax document; an unknown field is empty, never made up."""

    name: str
    tax_number: str = ""  # 统一社会信用代码
    address: str = ""
    phone: str = ""
    bank: str = ""
    bank_account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an invoice says beside its figures.

    settled_micros: what was taken from the wallet, in micro-yuan; due_fen: what
    is still to be paid by due_date (None when nothing is).
    """

    number: str
    period: Period
    issued_at: datetime
    due_date: date | None
    seller: Party
    buyer: Party
    settled_micros: int
    due_fen: int
    link: str
    notes: tuple[str, ...] = ()
    currency: str = "CNY"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLine:
    """A line; provider is None for several. Prices are averages: amount over quantity."""

    number: int
    product: str
    grade: str
    delivery_date: str
    provider: str | None
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    micro_st: int
    quantity_million_st: str
    average_price_micros: int
    price_per_million_st: str
    price_per_st: str
    tax_rate_bps: int
    tax_rate_percent: str
    net_fen: int
    net: str
    tax_fen: int
    tax: str
    amount_fen: int
    amount: str
    exact_amount: str
    digest: str
    kind: str = "usage"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTax:
    """All lines of one tax rate."""

    rate_bps: int
    rate_percent: str
    net_fen: int
    net: str
    tax_fen: int
    tax: str
    gross_fen: int
    gross: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFigures:
    """Everything that an invoice's files say; instants are RFC 3339 UTC, dates are the market's."""

    schema: int
    number: str
    currency: str
    seller: Party
    buyer: Party
    period_start: str
    period_end: str
    first_date: str
    last_date: str
    issued_at: str
    issue_date: str
    due_date: str | None
    lines: tuple[DocumentLine, ...]
    taxes: tuple[DocumentTax, ...]
    net_fen: int
    net: str
    tax_fen: int
    tax: str
    total_fen: int
    total: str
    total_words_zh: str
    total_words_en: str
    exact_amount: str
    rounding: str  # exact amount - total
    settled_micros: int
    settled: str
    due_fen: int
    due: str
    notes: tuple[str, ...]
    link: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, in the order of the fields."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        if self.schema == 1:  # the digest of what was issued then stays what it was
            for line in found["lines"]:
                del line["kind"]
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the figure set as canonical JSON: keys sorted, no spaces, UTF-8."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def verification_code(self) -> str:
        """The first 80 bits of the digest, in groups of four, as printed."""
        return "-".join(self.digest[i : i + 4] for i in range(0, 20, 4))


def from_dict(stored: dict[str, Any]) -> DocumentFigures:
    """The figure set as as_dict gave it; unknown or missing keys are refused.

    :raises msgspec.ValidationError: if the dict is not a figure set.
    """
    return msgspec.convert(stored, DocumentFigures)


def freeze(header: Header, invoice: InvoiceFigures) -> DocumentFigures:
    """Put header and figures together, every number written out once.

    :raises UnusableHeader: more due than the total, a due date without a debt
        or the reverse, an instant without a zone, a link that is not http(s).
    """
    _check(header, invoice)
    issued_at = header.issued_at.astimezone(UTC)
    return DocumentFigures(
        schema=SCHEMA,
        number=header.number,
        currency=header.currency,
        seller=header.seller,
        buyer=header.buyer,
        period_start=_rfc3339(header.period.start),
        period_end=_rfc3339(header.period.end),
        first_date=header.period.first_date.isoformat(),
        last_date=header.period.last_date.isoformat(),
        issued_at=_rfc3339(issued_at),
        issue_date=market_date(issued_at).isoformat(),
        due_date=header.due_date.isoformat() if header.due_date else None,
        lines=tuple(_line(line) for line in invoice.lines),
        taxes=tuple(_tax(group) for group in invoice.tax_groups),
        net_fen=invoice.net_fen,
        net=_yuan(invoice.net_fen),
        tax_fen=invoice.tax_fen,
        tax=_yuan(invoice.tax_fen),
        total_fen=invoice.total_fen,
        total=_yuan(invoice.total_fen),
        total_words_zh=amount_in_words(invoice.total_fen),
        total_words_en=amount_in_words_en(invoice.total_fen),
        exact_amount=plain(invoice.exact, 18, at_least=2),
        rounding=plain(invoice.rounding_exact, 18, at_least=2),
        settled_micros=header.settled_micros,
        settled=plain(header.settled_micros, 6, at_least=6),
        due_fen=header.due_fen,
        due=_yuan(header.due_fen),
        notes=header.notes,
        link=header.link,
    )


def _line(line: InvoiceLine) -> DocumentLine:
    return DocumentLine(
        number=line.number,
        product=line.key.model_line,
        grade=line.key.grade,
        delivery_date=line.key.delivery_date.isoformat(),
        provider=line.provider,
        input_tokens=line.tokens.input,
        cached_tokens=line.tokens.cached,
        output_tokens=line.tokens.output,
        micro_st=line.micro_st,
        quantity_million_st=plain(line.micro_st, 12, at_least=6),
        average_price_micros=line.average_price_micros,
        price_per_million_st=plain(line.average_price_micros, 6, at_least=6),
        price_per_st=plain(line.average_price_micros, 12, at_least=2),
        tax_rate_bps=line.key.tax_rate_bps,
        tax_rate_percent=plain(line.key.tax_rate_bps, 2),
        net_fen=line.net_fen,
        net=_yuan(line.net_fen),
        tax_fen=line.tax_fen,
        tax=_yuan(line.tax_fen),
        amount_fen=line.amount_fen,
        amount=_yuan(line.amount_fen),
        exact_amount=plain(line.exact, 18, at_least=2),
        digest=line.digest,
        kind=line.key.kind.value,
    )


def _tax(group: TaxGroup) -> DocumentTax:
    return DocumentTax(
        rate_bps=group.rate_bps,
        rate_percent=plain(group.rate_bps, 2),
        net_fen=group.net_fen,
        net=_yuan(group.net_fen),
        tax_fen=group.tax_fen,
        tax=_yuan(group.tax_fen),
        gross_fen=group.gross_fen,
        gross=_yuan(group.gross_fen),
    )


def _yuan(fen: int) -> str:
    return plain(fen, 2, at_least=2)


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _check(header: Header, invoice: InvoiceFigures) -> None:
    if not 0 <= header.due_fen <= invoice.total_fen or header.settled_micros < 0:
        raise UnusableHeader(f"{header.due_fen} fen due of a total of {invoice.total_fen}")
    if bool(header.due_fen) != (header.due_date is not None):
        raise UnusableHeader("a due date belongs to an amount due, and to nothing else")
    if header.issued_at.utcoffset() is None:
        raise UnusableHeader("issued_at has no time zone")
    if not header.link.startswith(("https://", "http://")):
        raise UnusableHeader(f"{header.link!r} is not a web address")
