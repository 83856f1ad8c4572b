"""What a price per standard token means for a model's own tokens."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from token_standard import catalogue, usage
from token_standard.cards import Card


@dataclass(frozen=True)
class StPerToken:
    """Standard tokens of one model token at a stated context: uncached input, cached input, output."""

    input: Fraction
    cached: Fraction
    output: Fraction


@dataclass(frozen=True)
class TokenPrices:
    """Micro-yuan per million model tokens at a stated context, rounded half to even."""

    context: int
    input_micros: int
    cached_micros: int
    output_micros: int


@cache
def st_per_token(card_name: str, card_format: str, context: int) -> StPerToken:
    """Mean over a prompt of this many tokens; an output token that attends to as many. Source: token_standard.

    :raises token_standard.catalogue.UnknownCard: no such card.
    """
    card: Card = catalogue.card(card_name, card_format)
    return StPerToken(
        input=usage.st_per_prompt(card, prompt=context),
        cached=usage.shares(card, n=0, c=context, g=0).cached / context,
        output=usage.st_per_generated(card, context=context),
    )


def token_prices(price_micros: int, *, card_name: str, card_format: str, context: int) -> TokenPrices:
    """The model's own prices at `price_micros` micro-yuan per million ST."""
    st = st_per_token(card_name, card_format, context)
    return TokenPrices(context, *(round(price_micros * one) for one in (st.input, st.cached, st.output)))
