"""The figures of an invoice from its rated amounts: lines, tax, total, rounding.

Prices include tax. Amounts are rounded to fen at the line and nowhere else,
and what that changes is kept as `rounding_exact`, so that always
sum of exact amounts = sum of lines + rounding, and total = net + tax.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from billing.kernel import rounding, tokens
from billing.kernel.rounding import EXACT_PER_FEN, divide_half_up, refuse_negative
from billing.kernel.tokens import NO_TOKENS, TokenCounts


class DuplicateRatedLine(ValueError):
    """The same rated line is given twice, and would be charged twice."""

    code = "duplicate_rated_line"


class AmountWithoutQuantity(ValueError):
    """An amount for no usage has no unit price, and no place on a line."""

    code = "amount_without_quantity"


class LineKind(StrEnum):
    """What a line is paid for, in the order of the lines."""

    USAGE = "usage"
    TAKE_OR_PAY = "take_or_pay"
    CANCELLATION = "cancellation"


_KINDS = tuple(LineKind)


@dataclass(frozen=True, slots=True)
class LineKey:
    """What is summed into one invoice line."""

    model_line: str
    grade: str
    delivery_date: date
    tax_rate_bps: int
    kind: LineKind = LineKind.USAGE

    @property
    def order(self) -> tuple[str, str, date, int, int]:
        """Lines of an invoice go by this."""
        return self.model_line, self.grade, self.delivery_date, self.tax_rate_bps, _KINDS.index(self.kind)


@dataclass(frozen=True, slots=True)
class RatedAmount:
    """A rated line as it goes into an invoice: usage in micro-ST, amount in 10^-18 yuan, tax included."""

    rated_line_id: int
    key: LineKey
    provider: str
    micro_st: int
    exact: int
    tokens: TokenCounts = NO_TOKENS


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line: amounts in fen, tax included in amount_fen."""

    number: int
    key: LineKey
    provider: str | None  # None: several
    micro_st: int
    tokens: TokenCounts
    average_price_micros: int
    exact: int
    amount_fen: int
    net_fen: int
    tax_fen: int
    digest: str


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """All lines of one tax rate, in fen."""

    rate_bps: int
    net_fen: int
    tax_fen: int
    gross_fen: int


@dataclass(frozen=True, slots=True)
class InvoiceFigures:
    """An invoice's figures; rounding_exact = exact - total, so it is positive when the buyer gains."""

    lines: tuple[InvoiceLine, ...]
    tax_groups: tuple[TaxGroup, ...]
    exact: int
    net_fen: int
    tax_fen: int
    total_fen: int
    rounding_exact: int


def figures(amounts: Iterable[RatedAmount]) -> InvoiceFigures | None:
    """Add rated amounts up to an invoice; None if it would be below 1 fen, and is carried over.

    The order of the amounts does not matter. Lines are sorted by model line,
    grade, day, rate and kind, and numbered from 1.

    :raises DuplicateRatedLine: the same rated line twice.
    :raises AmountWithoutQuantity: an amount for no usage.
    :raises NegativeAmount: usage, amount or rate below zero.
    """
    groups: dict[LineKey, list[RatedAmount]] = defaultdict(list)
    seen: set[int] = set()
    for amount in amounts:
        if amount.rated_line_id in seen:
            raise DuplicateRatedLine(f"rated line {amount.rated_line_id} is given twice")
        seen.add(amount.rated_line_id)
        refuse_negative(micro_st=amount.micro_st, exact=amount.exact, tax_rate_bps=amount.key.tax_rate_bps)
        if amount.exact and not amount.micro_st:
            raise AmountWithoutQuantity(f"rated line {amount.rated_line_id} has an amount but no usage")
        if amount.micro_st:
            groups[amount.key].append(amount)
    gross = [
        _gross_line(number, key, groups[key])
        for number, key in enumerate(sorted(groups, key=lambda key: key.order), start=1)
    ]
    total = sum(line.amount_fen for line in gross)
    if total == 0:
        return None
    lines, tax_groups = _with_tax(gross)
    exact = sum(line.exact for line in lines)
    return InvoiceFigures(
        lines=lines,
        tax_groups=tax_groups,
        exact=exact,
        net_fen=sum(group.net_fen for group in tax_groups),
        tax_fen=sum(group.tax_fen for group in tax_groups),
        total_fen=total,
        rounding_exact=exact - total * EXACT_PER_FEN,
    )


def average_price_micros(exact: int, micro_st: int) -> int:
    """Amount over quantity in micro-yuan per million ST, half up: 6 decimals of a yuan.

    The exact amount is divided, not the fen, so that usage at one price shows that price.
    """
    return divide_half_up(exact, micro_st)


def digest(amounts: Iterable[RatedAmount]) -> str:
    """SHA-256 over the rated lines that a line sums: id, micro-ST and exact amount, by id."""
    rows = sorted((a.rated_line_id, a.micro_st, a.exact) for a in amounts)
    return hashlib.sha256("".join(f"{i},{q},{e}\n" for i, q, e in rows).encode()).hexdigest()


def _gross_line(number: int, key: LineKey, amounts: Sequence[RatedAmount]) -> InvoiceLine:
    micro_st = sum(a.micro_st for a in amounts)
    exact = sum(a.exact for a in amounts)
    providers = {a.provider for a in amounts}
    return InvoiceLine(
        number=number,
        key=key,
        provider=providers.pop() if len(providers) == 1 else None,
        micro_st=micro_st,
        tokens=tokens.add_up(a.tokens for a in amounts),
        average_price_micros=average_price_micros(exact, micro_st),
        exact=exact,
        amount_fen=rounding.to_fen_half_up(exact),
        net_fen=0,
        tax_fen=0,
        digest=digest(amounts),
    )


def _with_tax(lines: Sequence[InvoiceLine]) -> tuple[tuple[InvoiceLine, ...], tuple[TaxGroup, ...]]:
    """Take the tax out of each rate's sum, and share it over its lines."""
    taxed: list[InvoiceLine] = []
    groups: list[TaxGroup] = []
    for rate_bps in sorted({line.key.tax_rate_bps for line in lines}):
        of_rate = [line for line in lines if line.key.tax_rate_bps == rate_bps]
        amounts = [line.amount_fen for line in of_rate]
        net, tax = rounding.net_and_tax(sum(amounts), rate_bps)
        groups.append(TaxGroup(rate_bps, net, tax, sum(amounts)))
        shares = rounding.tax_by_line(amounts, rate_bps, ties=[line.number for line in of_rate])
        taxed += [
            replace(line, net_fen=line.amount_fen - share, tax_fen=share)
            for line, share in zip(of_rate, shares, strict=True)
        ]
    return tuple(sorted(taxed, key=lambda line: line.number)), tuple(groups)
