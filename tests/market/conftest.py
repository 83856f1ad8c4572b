"""A small market with real money: two buyers, two providers, one line."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pytest

from accounts.kernel.actor import Actor
from accounts.selectors import actors, clock
from accounts.services import organisations
from ledger import services as ledger
from market import selectors, services
from market.services import CellTerms, OrderDraft, SupplyDraft

NOW = datetime(2026, 11, 24, 15, 0, 2, tzinfo=UTC)
TERMS = CellTerms(region="cn-east", tier="listed", vendor="nvidia", data_terms="no-retention")
YUAN = 10**6
_keys = itertools.count()


@dataclass
class World:
    """What a test acts in; every step takes the clock from `now`."""

    market_id: UUID
    operator: UUID
    now: datetime = NOW
    line: str = "llama-3-8b"
    grade: str = "interactive"
    window: datetime = field(default=NOW, kw_only=True)

    def organisation(self, kind: str, *, yuan: int = 0) -> Actor:
        """A new organisation, with money in its wallet."""
        organisation_id = organisations.create(name=f"{kind} {next(_keys)}", kind=kind, now=self.now)
        if yuan:
            self.fund(organisation_id, yuan)
        return actors.of_organisation(organisation_id)

    def fund(self, organisation_id: UUID, yuan: int) -> None:
        """Money from outside into a wallet."""
        wallet = ledger.open_account(organisation_id=organisation_id, kind="wallet")
        cash = ledger.open_account(organisation_id=None, kind="cash_clearing")
        legs = (ledger.Leg(cash, "debit", yuan * YUAN), ledger.Leg(wallet, "credit", yuan * YUAN))
        ledger.post([ledger.TransferDraft(key=f"test:{next(_keys)}", kind="top_up", legs=legs)], now=self.now)

    def supply(
        self, seller: Actor, quantity_st: int, *, rate: int = 10**6, group: UUID | None = None, line: str | None = None
    ) -> UUID:
        """Declared capacity."""
        return services.supply.declare(
            SupplyDraft(
                organisation_id=seller.organisation_id,
                pool_id=uuid4(),
                exclusive_group=group or uuid4(),
                deployment_id=uuid4(),
                line=line or self.line,
                grade=self.grade,
                window_start=self.window,
                terms=TERMS,
                offered_st=quantity_st,
                rate_st_per_second=rate,
            ),
            now=self.now,
        )

    def bid(self, buyer: Actor, quantity_st: int, limit_micros: int, **changes: object) -> selectors.OrderView:
        """Place a bid."""
        draft = OrderDraft(buyer.organisation_id, "buy", self.line, self.grade, self.window, quantity_st, limit_micros)
        return services.orders.place(replace(draft, **changes), actor=buyer, now=self.now)

    def offer(
        self, seller: Actor, quantity_st: int, limit_micros: int, *, supply_id: UUID | None = None, **changes: object
    ) -> selectors.OrderView:
        """Declare just enough capacity and offer it."""
        draft = OrderDraft(
            seller.organisation_id, "sell", changes.pop("line", self.line), self.grade, self.window, quantity_st,
            limit_micros, supply_id=supply_id or self.supply(seller, quantity_st),
        )  # fmt: skip
        return services.orders.place(replace(draft, **changes), actor=seller, now=self.now)

    def round(self) -> services.rounds.RoundSummary:
        """Let the open round's time come, and clear it."""
        self.now = selectors.the_market().next_close_at
        summary = services.rounds.clear(self.market_id, now=self.now)
        assert summary is not None
        return summary

    def order(self, view: selectors.OrderView) -> selectors.OrderView:
        """How an order stands now."""
        return selectors.orders_many([view.id])[view.id]


def build(now: datetime = NOW) -> World:
    """A market with a fee of 2.5 % and two lines at a list price of 2 yuan per million; it trades the next hour."""
    operator = organisations.create(name="Operator", kind="operator", now=now)
    market_id = services.markets.create(slug="main", name="Main", operator_id=operator, fee_bps=250, now=now)
    for slug in ("llama-3-8b", "llama-2-7b"):
        services.catalogue.add_line(
            slug=slug, publisher="Meta", model=slug, display_name=slug.title(), card_name=slug, card_format="fp16",
            context_limit=8_192, reference_context=2_048, tokenizer="bytes", now=now,
        )  # fmt: skip
        services.catalogue.set_list_price(
            line=slug, grade="interactive", price_micros=2 * YUAN, valid_from=date(2020, 1, 1), source="price list"
        )
    return World(market_id, operator, now, window=selectors.open_windows(now)[1][0])


@pytest.fixture
def world(db) -> World:
    """The market, inside the test's transaction."""
    return build()


@pytest.fixture
def live_world(db) -> World:
    """The market at the database's own time, for pages and REST."""
    return build(clock.now())


@pytest.fixture
def buyer(world: World) -> Actor:
    return world.organisation("buyer", yuan=1_000)


@pytest.fixture
def seller(world: World) -> Actor:
    return world.organisation("provider")


@pytest.fixture
def whole():
    """Both books balance after the test: market and ledger."""
    yield
    from ledger import selectors as ledger_reads

    assert selectors.verify() == []
    assert ledger_reads.verify() == []
