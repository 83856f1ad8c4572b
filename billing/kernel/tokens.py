"""Counts of a model's own tokens by kind; a request's price is one number and is never split by them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from billing.kernel.rounding import refuse_negative, split_by_largest_remainder


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Model tokens: uncached input, cached input, output."""

    input: int = 0
    cached: int = 0
    output: int = 0

    def __post_init__(self) -> None:
        refuse_negative(input=self.input, cached=self.cached, output=self.output)


NO_TOKENS = TokenCounts()


def add_up(counts: Iterable[TokenCounts]) -> TokenCounts:
    """The sum, kind by kind."""
    listed = list(counts)
    return TokenCounts(sum(c.input for c in listed), sum(c.cached for c in listed), sum(c.output for c in listed))


def split(counts: TokenCounts, micro_st: Sequence[int]) -> tuple[TokenCounts, ...]:
    """Share the counts of one bucket over its parts by their standard tokens; each kind adds up again."""
    places = range(len(micro_st))
    kinds = (split_by_largest_remainder(n, micro_st, places) for n in (counts.input, counts.cached, counts.output))
    return tuple(TokenCounts(*shares) for shares in zip(*kinds, strict=True))
