"""Exact amounts, and the only places where they are rounded.

An *exact amount* is an int in 10^-18 yuan: micro-ST times price_micros
(micro-yuan per million ST). 10^12 of them are a micro-yuan, 10^16 a fen.
"""

from collections.abc import Sequence

EXACT_PER_MICRO = 10**12
EXACT_PER_FEN = 10**16
MICROS_PER_FEN = 10**4
BPS = 10_000


class NegativeAmount(ValueError):
    """An amount, weight or rate below zero; direction is a field of its own."""

    code = "negative_amount"


class NothingToSplitOver(ValueError):
    """Something is to be shared out, but every weight is zero."""

    code = "nothing_to_split_over"


def refuse_negative(**values: int) -> None:
    """:raises NegativeAmount: naming the first value below zero."""
    for name, value in values.items():
        if value < 0:
            raise NegativeAmount(f"{name} is {value}, and must not be negative")


def divide_half_up(numerator: int, denominator: int) -> int:
    """The nearest integer to a ratio of non-negative integers; a half goes up."""
    assert numerator >= 0 and denominator > 0
    return (2 * numerator + denominator) // (2 * denominator)


def to_fen_half_up(exact: int) -> int:
    """Fen of an exact amount, half up: the rule of an invoice line, used nowhere else.

    :raises NegativeAmount: for an amount below zero.
    """
    refuse_negative(exact=exact)
    return divide_half_up(exact, EXACT_PER_FEN)


def cumulative_floor_micros(exact_total: int, posted: int) -> int:
    """Micro-yuan still to be posted so that all postings are the floor of the exact sum so far.

    Splitting usage into more buckets therefore cannot change a total. Below
    zero only when a correction has lowered the sum: then that much goes back.

    :raises NegativeAmount: for a sum or a posted total below zero.
    """
    refuse_negative(exact_total=exact_total, posted=posted)
    return exact_total // EXACT_PER_MICRO - posted


def split_by_largest_remainder(total: int, weights: Sequence[int], ties: Sequence[int | str]) -> tuple[int, ...]:
    """Share out a total in proportion to the weights, nothing made or lost.

    What rounding down leaves over goes, one each, to the largest remainders,
    then to the smallest tie key. Keys must be distinct. A share is never above
    its weight when the total is not above the sum of the weights.

    :raises NegativeAmount: for a total or weight below zero.
    :raises NothingToSplitOver: if the total is positive and no weight is.
    """
    refuse_negative(total=total, weight=min(weights, default=0))
    assert len(ties) == len(weights) == len(set(ties)), "one distinct tie key for each weight"
    whole = sum(weights)
    if whole == 0:
        if total:
            raise NothingToSplitOver(f"{total} cannot be shared over {len(weights)} weights of zero")
        return (0,) * len(weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), ties[i]))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return tuple(shares)


def net_and_tax(gross_fen: int, rate_bps: int) -> tuple[int, int]:
    """Net and tax of an amount that includes tax: net = gross / (1 + rate) half up, tax = the rest (fen).

    :raises NegativeAmount: for an amount or rate below zero.
    """
    refuse_negative(gross_fen=gross_fen, rate_bps=rate_bps)
    net = divide_half_up(gross_fen * BPS, BPS + rate_bps)
    return net, gross_fen - net


def tax_by_line(gross_fen: Sequence[int], rate_bps: int, ties: Sequence[int | str]) -> tuple[int, ...]:
    """The tax of each line of one rate group, in fen, in the order of the lines.

    The tax is that of the group's sum, shared out by largest remainder (ties
    by line id), so that lines add up to what the tax return says.
    """
    _, tax = net_and_tax(sum(gross_fen), rate_bps)
    return split_by_largest_remainder(tax, gross_fen, ties)
