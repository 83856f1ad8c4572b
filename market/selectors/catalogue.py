"""Reads of lines, grades, products and list prices."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import OuterRef, Q, QuerySet, Subquery

from market.kernel import windows
from market.kernel.errors import NoMarket, NotFound, UnknownGrade, UnknownLine
from market.kernel.orders import Terms
from market.kernel.tokens import TokenPrices, token_prices
from market.models import GradeTerms, ListPrice, Market, ModelLine, Product, Round

MARKET_CLOCK = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class LineView:
    """A model line. `owner_id` is set on private lines."""

    id: UUID
    slug: str
    publisher: str
    model: str
    display_name: str
    card_name: str
    card_format: str
    card_digest: str
    context_limit: int
    reference_context: int
    tokenizer: str
    provisional: bool
    owner_id: UUID | None
    state: str

    def token_prices(self, price_micros: int, *, context: int | None = None) -> TokenPrices:
        """Prices of this model's own tokens at a price per million ST, at a context (default: the reference one)."""
        return token_prices(
            price_micros,
            card_name=self.card_name,
            card_format=self.card_format,
            context=context or self.reference_context,
        )


@dataclass(frozen=True)
class ProductView:
    """Line × grade × window; tick in micro-yuan per million ST, lot in ST. `is_private`: only the line's owner sees it."""

    id: UUID
    market_id: UUID
    line: str
    line_name: str
    grade: str
    window_start: datetime
    window_end: datetime
    tick_micros: int
    lot_st: int
    is_private: bool

    @property
    def terms(self) -> Terms:
        """Tick and lot."""
        return Terms(self.tick_micros, self.lot_st)


@dataclass(frozen=True)
class ListPriceView:
    """A published price, with its date and source."""

    price_micros: int
    valid_from: date
    source: str


@dataclass(frozen=True)
class MarketState:
    """The market as people see it.

    `round_number` is the last round that was cleared, `collecting` the one that takes new orders; between them one may
    be running: `is_clearing`.
    """

    id: UUID
    slug: str
    name: str
    currency: str
    state: str
    state_reason: str
    tick_seconds: int
    fee_bps: int
    settlement_mode: str
    operator_id: UUID
    round_number: int
    collecting: int
    next_close_at: datetime
    last_close_at: datetime | None

    @property
    def is_clearing(self) -> bool:
        """Whether a round is frozen, and what it leaves is not known yet."""
        return self.collecting > self.round_number + 1


def market_state(currency: str | None = None) -> MarketState | None:
    """The market of a currency (default: that of the site); None before it is set up."""
    market = _markets().filter(currency=currency or settings.MARKET_CURRENCY).first()
    return None if market is None else _state(market)


def market_by_id(market_id: UUID) -> MarketState:
    """A market that is there."""
    return _state(_markets().get(id=market_id))


def _markets() -> QuerySet[Market]:
    last = Round.objects.filter(market_id=OuterRef("id"), number=OuterRef("round_number") - 1)
    return Market.objects.annotate(last_close_at=Subquery(last.values("closed_at")))


def _state(market: Any) -> MarketState:
    return MarketState(
        id=market.id,
        slug=market.slug,
        name=market.name,
        currency=market.currency,
        state=market.state,
        state_reason=market.state_reason,
        tick_seconds=market.tick_seconds,
        fee_bps=market.fee_bps,
        settlement_mode=market.settlement_mode,
        operator_id=market.operator_id,
        round_number=market.round_number - 1,
        collecting=(market.frozen_round or market.round_number - 1) + 1,
        next_close_at=market.next_close_at,
        last_close_at=market.last_close_at,
    )


def market_id(currency: str | None = None) -> UUID:
    """Which market `the_market` is; it is the same for ever.

    :raises NoMarket: it is not set up yet.
    """
    found = Market.objects.filter(currency=currency or settings.MARKET_CURRENCY).values_list("id", flat=True).first()
    if found is None:
        raise NoMarket("This market is not set up yet.")
    return found


def the_market(currency: str | None = None) -> MarketState:
    """The same, where it must be there.

    :raises NoMarket: it is not set up yet.
    """
    state = market_state(currency)
    if state is None:
        raise NoMarket("This market is not set up yet.")
    return state


def fee_bps(currency: str) -> int:
    """The market's fee on providers' net proceeds, in basis points.

    :raises NoMarket: no market trades in this currency.
    """
    return the_market(currency).fee_bps


def grades(market_id: UUID) -> dict[str, Terms]:
    """Tick and lot of each grade traded, in the order realtime, interactive, batch."""
    rows = {row.grade: Terms(row.tick_micros, row.lot_st) for row in GradeTerms.objects.filter(market_id=market_id)}
    return {grade: rows[grade] for grade in ("realtime", "interactive", "batch") if grade in rows}


def lines(organisation_id: UUID | None = None) -> list[LineView]:
    """The active lines that everybody sees, and the private ones of this organisation, by name."""
    return [_line(row) for row in _visible(organisation_id).order_by("display_name", "slug")]


def line(slug: str) -> LineView:
    """One active line, whoever owns it.

    :raises UnknownLine: there is none of this name.
    """
    row = ModelLine.objects.filter(slug=slug, state=ModelLine.State.ACTIVE).first()
    if row is None:
        raise UnknownLine(f"No model line is called {slug[:80]!r}.")
    return _line(row)


def line_for(slug: str, organisation_id: UUID | None) -> LineView:
    """One line that this organisation may see.

    :raises UnknownLine: there is none, or it is another organisation's own.
    """
    row = _visible(organisation_id).filter(slug=slug).first()
    if row is None:
        raise UnknownLine(f"No model line is called {slug[:80]!r}.")
    return _line(row)


def products(
    line: str | None = None,
    now: datetime | None = None,
    *,
    grade: str | None = None,
    organisation_id: UUID | None = None,
) -> list[ProductView]:
    """Products by line, grade and window; with `now`, those that may be traded then."""
    rows = Product.objects.filter(line__in=_visible(organisation_id))
    if line is not None:
        rows = rows.filter(line__slug=line)
    if grade is not None:
        rows = rows.filter(grade=grade)
    if now is not None:
        opened = windows.open_windows(now)
        rows = rows.filter(window_start__gte=opened[0][0], window_start__lte=opened[-1][0])
    return _products(rows.order_by("line__slug", "grade", "window_start"))


def product(product_id: UUID, organisation_id: UUID | None = None) -> ProductView:
    """One product that this organisation may see.

    :raises NotFound: there is none.
    """
    rows = Product.objects.filter(id=product_id, line__in=_visible(organisation_id, retired=True))
    found = _products(rows)
    if not found:
        raise NotFound("There is no such product.")
    return found[0]


def products_many(product_ids: Collection[UUID]) -> dict[UUID, ProductView]:
    """Products by id."""
    return {view.id: view for view in _products(Product.objects.filter(id__in=list(product_ids)))}


def product_at(line: str, grade: str, window_start: datetime) -> ProductView | None:
    """The product of a window, where it exists already."""
    found = _products(Product.objects.filter(line__slug=line, grade=grade, window_start=window_start))
    return found[0] if found else None


def open_windows(now: datetime) -> list[windows.Window]:
    """The current window and the next 48."""
    return windows.open_windows(now)


def list_price(line: str, grade: str, *, at: datetime) -> ListPriceView | None:
    """The published price that counts at an instant (by the day of the market clock)."""
    return list_prices([(line, grade)], at=at).get((line, grade))


def list_prices(pairs: Iterable[tuple[str, str]], *, at: datetime) -> dict[tuple[str, str], ListPriceView]:
    """The same for many (line, grade) pairs."""
    wanted = set(pairs)
    rows = (
        ListPrice.objects.filter(
            line__slug__in={line for line, _ in wanted}, valid_from__lte=at.astimezone(MARKET_CLOCK).date()
        )
        .order_by("line", "grade", "-valid_from")
        .distinct("line", "grade")
        .values_list("line__slug", "grade", "price_micros", "valid_from", "source")
    )
    return {(row[0], row[1]): ListPriceView(*row[2:]) for row in rows if row[:2] in wanted}


def terms_of(market_id: UUID, grade: str) -> Terms:
    """Tick and lot of a grade.

    :raises UnknownGrade: the market does not trade it.
    """
    found = grades(market_id)
    if grade not in found:
        raise UnknownGrade(f"The grade is one of {', '.join(found)}.")
    return found[grade]


def _visible(organisation_id: UUID | None, *, retired: bool = False) -> QuerySet[ModelLine]:
    rows = ModelLine.objects.filter(Q(owner__isnull=True) | Q(owner_id=organisation_id))
    return rows if retired else rows.filter(state=ModelLine.State.ACTIVE)


def _line(row: ModelLine) -> LineView:
    return LineView(**{name: getattr(row, name) for name in LineView.__dataclass_fields__})


def _products(rows: QuerySet[Product]) -> list[ProductView]:
    terms = {(one.market_id, one.grade): one for one in GradeTerms.objects.all()}
    return [
        ProductView(
            id=row.id,
            market_id=row.market_id,
            line=row.line.slug,
            line_name=row.line.display_name,
            grade=row.grade,
            window_start=row.window_start,
            window_end=row.window_end,
            tick_micros=terms[row.market_id, row.grade].tick_micros,
            lot_st=terms[row.market_id, row.grade].lot_st,
            is_private=row.line.owner_id is not None,
        )
        for row in rows.select_related("line")
    ]
