"""Bids that accept several products, some cells only, or nothing below a minimum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from market import selectors
from market.kernel.errors import BadScope
from market.kernel.orders import Choice, OrderDraft, Terms, check_window, with_better
from market.models import Cell, Order, OrderChoice, OrderScope
from market.selectors import ProductView
from market.services.products import product_for

Accepted = list[tuple[ProductView, int]]


def accepted(draft: OrderDraft, market_id: UUID, *, own: ProductView, now: datetime) -> Accepted:
    """Every product that an order accepts, with its limit there; the order's own first.

    :raises UnknownLine, UnknownGrade, UnknownWindow, WindowClosed: see there.
    :raises BadScope: a grade that trades in other ticks or lots, or one product twice.
    """
    found: Accepted = [(own, draft.limit_micros)]
    itself = Choice(draft.line, draft.window_start, draft.limit_micros)
    for choice in draft.choices:
        if choice == itself:
            continue
        check_window(choice.window_start, now)
        grade = choice.grade or draft.grade
        product = product_for(
            market_id, choice.line, grade, choice.window_start, organisation_id=draft.organisation_id, now=now
        )
        if product.is_private != own.is_private:
            raise BadScope("A bid names lines of its own or public ones, not both: their rounds are public.")
        check_terms(product.terms, own.terms, grade=grade, own=draft.grade)
        if product.id in {one.id for one, _ in found}:
            raise BadScope("A line, grade and window is named twice.")
        found.append((product, choice.limit_micros))
    return found


def check_terms(terms: Terms, own_terms: Terms, *, grade: str, own: str) -> None:
    """Refuse a grade beside a bid's own that trades in other ticks or lots.

    :raises BadScope: it does.
    """
    if terms != own_terms:
        raise BadScope(f"The grade {grade} trades in other ticks or lots than {own}.")


def or_better(choices: Sequence[Choice]) -> list[Choice]:
    """A bid's choices, each with its grade, and the same in every better grade that the market trades.

    :raises BadScope: one product is named twice.
    """
    if len({(one.line, one.window_start, one.grade) for one in choices}) < len(choices):
        raise BadScope("A line, grade and window is named twice.")
    return with_better(choices, traded=selectors.grades(selectors.the_market().id))


def check_vocabulary(drafts: Iterable[OrderDraft]) -> None:
    """Refuse vendors and regions in which nothing was ever offered: a misspelt filter would wait for ever.

    :raises BadScope: it names the word.
    """
    for name in ("vendors", "regions"):
        wanted = {word for draft in drafts for word in getattr(draft.scope, name)}
        if not wanted:
            continue
        column = name.removesuffix("s")
        known = set(Cell.objects.filter(**{f"{column}__in": wanted}).values_list(column, flat=True).distinct())
        if wanted - known:
            raise BadScope(f"Nothing was ever offered for the {column} {', '.join(sorted(wanted - known))}.")


def store(orders: Sequence[Order], drafts: Sequence[OrderDraft], products: Sequence[Accepted]) -> None:
    """The rows beside the orders, for those that are flexible."""
    choices, scopes = [], []
    for order, draft, chosen in zip(orders, drafts, products, strict=True):
        if draft.choices:
            choices += [
                OrderChoice(order_id=order.id, product_id=product.id, limit_micros=limit) for product, limit in chosen
            ]
        if draft.is_flexible:
            scope = draft.scope
            scopes.append(
                OrderScope(
                    order_id=order.id,
                    vendors=sorted(scope.vendors),
                    regions=sorted(scope.regions),
                    tiers=sorted(scope.tiers),
                    minimum_st=scope.minimum_st,
                    data_terms=sorted(scope.data_terms),
                )
            )
    OrderChoice.objects.bulk_create(choices, batch_size=5_000)
    OrderScope.objects.bulk_create(scopes, batch_size=5_000)
