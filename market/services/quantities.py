"""How much an order asks for, where it says so in yuan or in tokens of the model."""

from __future__ import annotations

from uuid import UUID

from market import selectors
from market.kernel import quantities as kernel
from market.kernel.orders import check_limit
from market.kernel.quantities import ModelTokens
from token_standard import catalogue


def of_budget(budget_micros: int, *, grade: str, limit_micros: int) -> int:
    """ST in as many whole lots as the budget pays for if all of them fill at the limit.

    :raises UnknownGrade, OffTick, BudgetTooSmall: see there.
    """
    terms = selectors.terms_of(selectors.market_id(), grade)
    check_limit(limit_micros, terms)
    return kernel.st_of_budget(budget_micros, limit_micros=limit_micros, lot_st=terms.lot_st)


def of_tokens(tokens: ModelTokens, *, line: str, grade: str, organisation_id: UUID) -> int:
    """ST that these requests are counted as by the line's card, rounded up to lots.

    :raises UnknownLine, UnknownGrade, BeyondContext: see there.
    """
    view = selectors.line_for(line, organisation_id)
    terms = selectors.terms_of(selectors.market_id(), grade)
    card = catalogue.card(view.card_name, view.card_format)
    return kernel.st_of_tokens(tokens, card=card, context_limit=view.context_limit, lot_st=terms.lot_st)
