"""Model lines, their list prices, and the products of the coming windows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from uuid import UUID

from django.db import transaction

from market.kernel import windows
from market.models import GradeTerms, ListPrice, Market, ModelLine, Product
from token_standard import catalogue as cards


def add_line(
    *,
    slug: str,
    publisher: str,
    model: str,
    display_name: str,
    card_name: str,
    card_format: str,
    context_limit: int,
    reference_context: int,
    tokenizer: str,
    now: datetime,
    owner_id: UUID | None = None,
) -> UUID:
    """Add a model line, counted by a published card, and open its products; gives its id.

    :raises token_standard.catalogue.UnknownCard: no such card.
    """
    card = cards.card(card_name, card_format)
    with transaction.atomic():
        line = ModelLine.objects.create(
            slug=slug,
            publisher=publisher,
            model=model,
            display_name=display_name,
            card_name=card_name,
            card_format=card_format,
            card_digest=card.digest,
            context_limit=context_limit,
            reference_context=reference_context,
            tokenizer=tokenizer,
            provisional=card.provisional,
            owner_id=owner_id,
            created_at=now,
        )
        open_products(now=now)
    return line.id


def set_list_price(*, line: str, grade: str, price_micros: int, valid_from: date, source: str) -> None:
    """Record a published price (micro-yuan per million ST) from a day on, with where it is published."""
    ListPrice.objects.update_or_create(
        line=ModelLine.objects.get(slug=line),
        grade=grade,
        valid_from=valid_from,
        defaults={"price_micros": price_micros, "source": source},
    )


def open_products(*, now: datetime) -> int:
    """Make the products of all open windows that are not there yet; gives how many were made.

    A product without orders costs nothing, so every line trades every grade in every window.
    """
    lines = ModelLine.objects.filter(state=ModelLine.State.ACTIVE)
    terms = GradeTerms.objects.select_related("market")
    starts = [start for start, _ in windows.open_windows(now)]
    have = set(
        Product.objects.filter(window_start__in=starts).values_list("market_id", "line_id", "grade", "window_start")
    )
    wanted = [
        (one.market, line, one.grade, start)
        for one in terms
        for line in lines
        for start in starts
        if (one.market_id, line.id, one.grade, start) not in have
    ]
    make(wanted, now=now)
    return len(wanted)


def make(wanted: Iterable[tuple[Market, ModelLine, str, datetime]], *, now: datetime) -> None:
    """Make products; those that exist stay as they are."""
    Product.objects.bulk_create(
        [
            Product(
                market=market,
                line=line,
                grade=grade,
                window_start=start,
                window_end=start + windows.WINDOW,
                created_at=now,
            )
            for market, line, grade, start in wanted
        ],
        ignore_conflicts=True,
    )
