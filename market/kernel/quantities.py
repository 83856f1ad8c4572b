"""Other ways to say how much: a budget, or tokens of the model itself. Always whole lots."""

from __future__ import annotations

from dataclasses import dataclass

from market.kernel import errors
from market.kernel.money import MILLION, cost_micros
from token_standard import usage
from token_standard.cards import Card


@dataclass(frozen=True)
class ModelTokens:
    """So many requests alike: uncached prompt, cached prompt and output tokens of each."""

    input: int
    cached: int
    output: int
    requests: int = 1


def st_of_budget(budget_micros: int, *, limit_micros: int, lot_st: int) -> int:
    """ST in as many whole lots as a budget in micro-yuan pays for at the limit, which stands on the tick.

    :raises BudgetTooSmall: not even one.
    """
    lot_micros = cost_micros(limit_micros, lot_st)
    lots = budget_micros // lot_micros
    if not lots:
        raise errors.BudgetTooSmall("The budget does not pay for one lot at this limit.", least_micros=lot_micros)
    return lots * lot_st


def st_of_tokens(tokens: ModelTokens, *, card: Card, context_limit: int, lot_st: int) -> int:
    """ST that these requests are counted as, rounded up to lots.

    :raises BeyondContext: a request is longer than the model takes.
    """
    if tokens.input + tokens.cached + tokens.output > context_limit:
        raise errors.BeyondContext(f"A request has at most {context_limit} tokens.", context_limit=context_limit)
    micro_st = tokens.requests * usage.micro_st(card, n=tokens.input, c=tokens.cached, g=tokens.output)
    return -(-micro_st // (lot_st * MILLION)) * lot_st
