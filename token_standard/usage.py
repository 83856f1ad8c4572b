"""What usage costs, in standard tokens.

A request has ``n`` uncached and ``c`` cached prompt tokens and ``g`` generated ones. Prompt position i attends to
positions 1..i, generated token j to the prompt and the j generated so far, itself included; in layers with a sliding
window of width W to the last W of these. A request is one number, rounded once, half to even, to whole micro-ST:
the parts by kind are shares of it and are never rounded or priced apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from token_standard.cards import Priced
from token_standard.errors import TokenStandardError
from token_standard.version import MICRO

MICRO_DIGITS = 6


class NegativeUsage(TokenStandardError):
    code = "negative_usage"


@dataclass(frozen=True)
class Shares:
    """The parts of a request's ST by kind, exact. They add up to the request's ST."""

    input: Fraction
    cached: Fraction
    output: Fraction

    @property
    def total(self) -> Fraction:
        return self.input + self.cached + self.output


@dataclass(frozen=True)
class Total:
    """Sums over many requests. ``micro_st`` is what is stored and invoiced, ``exact`` what it approximates, in ST."""

    requests: int
    uncached: int
    cached: int
    generated: int
    exact: Fraction
    micro_st: int

    @property
    def prompt(self) -> int:
        return self.uncached + self.cached


def micro_st(card: Priced, *, n: int, c: int, g: int) -> int:
    """Micro-ST of a request, rounded once, half to even. This is the number that usage records store.

    :raises NegativeUsage: a count below zero.
    """
    numerator, denominator = _fraction(card, n, c, g)
    return _half_even(numerator, denominator)


def st(card: Priced, *, n: int, c: int, g: int) -> Fraction:
    """Exact ST of a request.

    :raises NegativeUsage: a count below zero.
    """
    numerator, denominator = _fraction(card, n, c, g)
    return Fraction(numerator, denominator * MICRO)


def shares(card: Priced, *, n: int, c: int, g: int) -> Shares:
    """The exact parts of a request's ST: uncached prompt, cached prompt, generated.

    :raises NegativeUsage: a count below zero.
    """
    _check(n, c, g)
    exact, prompt = card.coefficients, n + c
    input_st, cached_st, output_st = exact.a_p * n, Fraction(0), exact.a_d * g
    for group in exact.attending:
        before_prompt, before_output = _attended(c, group.width), _attended(prompt, group.width)
        input_st += group.b_p * (before_output - before_prompt)
        cached_st += group.c_c * (c if group.width is None else min(c, group.width))
        output_st += group.b_d * (_attended(prompt + g, group.width) - before_output)
    return Shares(input=input_st, cached=cached_st, output=output_st)


def total(card: Priced, requests: Iterable[tuple[int, int, int]]) -> Total:
    """Add up requests of (n, c, g), both exactly and as the sum of their micro-ST.

    :raises NegativeUsage: a count below zero.
    """
    count = uncached = cached = generated = numerators = micros = 0
    denominator = card.scaled.denominator
    for n, c, g in requests:
        numerator, _ = _fraction(card, n, c, g)
        count, uncached, cached, generated = count + 1, uncached + n, cached + c, generated + g
        numerators += numerator
        micros += _half_even(numerator, denominator)
    return Total(count, uncached, cached, generated, Fraction(numerators, denominator * MICRO), micros)


def st_per_generated(card: Priced, *, context: int) -> Fraction:
    """ST of one generated token that attends to ``context`` positions, itself included."""
    return shares(card, n=0, c=context - 1, g=1).output


def st_per_prompt(card: Priced, *, prompt: int) -> Fraction:
    """Mean ST of a token of an uncached prompt of this length."""
    return st(card, n=prompt, c=0, g=0) / prompt


def st_text(micros: int) -> str:
    """Micro-ST as a decimal number of ST with all six places, without thousands separators."""
    sign, whole = ("-", -micros) if micros < 0 else ("", micros)
    return f"{sign}{whole // MICRO}.{whole % MICRO:0{MICRO_DIGITS}d}"


def _fraction(card: Priced, n: int, c: int, g: int) -> tuple[int, int]:
    """The request's micro-ST as numerator and denominator. On the metering hot path: integers only, one pass."""
    if (n | c | g) < 0:  # one test for three signs; anything but a whole number is a TypeError
        _check(n, c, g)
    a_p, b_p, c_c, a_d, b_d, denominator, windows = card.scaled
    prompt = n + c
    numerator = (
        a_p * n + b_p * (n * c + (n * (n + 1) >> 1)) + c_c * c + a_d * g + b_d * (g * prompt + (g * (g + 1) >> 1))
    )
    for width, window_b_p, window_c_c, window_b_d in windows:
        before_prompt, before_output = _attended(c, width), _attended(prompt, width)
        numerator += (
            window_b_p * (before_output - before_prompt)
            + window_c_c * min(c, width)
            + window_b_d * (_attended(prompt + g, width) - before_output)
        )
    return numerator, denominator


def _attended(length: int, width: int | None) -> int:
    """Sum of the positions attended to by tokens 1..length in a layer with a window of this width."""
    if width is None or length <= width:
        return length * (length + 1) // 2
    return width * (width + 1) // 2 + width * (length - width)


def _half_even(numerator: int, denominator: int) -> int:
    whole, rest = divmod(numerator, denominator)
    beyond_half = 2 * rest - denominator
    return whole + 1 if beyond_half > 0 or (beyond_half == 0 and whole & 1) else whole


def _check(n: int, c: int, g: int) -> None:
    for name, value in (("n", n), ("c", c), ("g", g)):
        if value < 0:
            raise NegativeUsage(f"{name} must not be below zero, got {value}")
