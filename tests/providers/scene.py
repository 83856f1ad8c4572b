"""A small market for tests: an operator, a line with a list price, a provider, a buyer with money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import connection

from accounts.kernel.actor import Actor
from accounts.selectors import actors
from accounts.services import organisations
from ledger import services as ledger
from ledger.services import Leg, TransferDraft
from market import services as market
from market.services import OrderDraft
from providers import services as providers
from providers.services import DeploymentDraft, PoolDraft

LINE = "llama-3-8b"
LIST_PRICE = 3_330_000
POOL = PoolDraft(name="Harbour 1", vendor="huawei", chip="Ascend 910B", device_count=8, region="cn-east")

# Rows that the migrations make, and that every test starts with.
SEEDED = ("metering_settle_counter", "billing_ratingwatermark", "billing_taxrate")


@dataclass(frozen=True)
class Scene:
    """Ids and actors of the market."""

    market_id: UUID
    operator: Actor
    provider: Actor
    buyer: Actor

    def pool(self, name: str = "Harbour 1", *, actor: Actor | None = None, now: datetime) -> UUID:
        draft = PoolDraft(name, POOL.vendor, POOL.chip, POOL.device_count, POOL.region)
        return providers.pools.add(draft, actor=actor or self.provider, now=now)

    def deployment(
        self, pool_id: UUID, *, now: datetime, rate: int = 1_000, url: str = "https://engine.example.com", key: str = "",
        actor: Actor | None = None, share_bps: int = 10_000, line: str = LINE,
    ) -> UUID:  # fmt: skip
        draft = DeploymentDraft(pool_id, line, "fp16", url, rate, share_bps, api_key=key)
        private = url.startswith("http:")
        return providers.deployments.add(draft, actor=actor or self.provider, now=now, private_endpoint=private)

    def buy(
        self, window_start: datetime, quantity_st: int, limit_micros: int, *, now: datetime, grade: str = "interactive"
    ) -> UUID:
        draft = OrderDraft(
            organisation_id=self.buyer.organisation_id, side="buy", line=LINE, grade=grade, window_start=window_start,
            quantity_st=quantity_st, limit_micros=limit_micros,
        )  # fmt: skip
        return market.orders.place(draft, actor=self.buyer, now=now).id

    def clear(self, *, now: datetime) -> None:
        market.rounds.clear(self.market_id, now=now)


def build(*, now: datetime, yuan: int = 1_000) -> Scene:
    """Make it, with this much money in the buyer's wallet."""
    operator = organisations.create(name="Operator", kind="operator", now=now)
    provider = organisations.create(name="Harbour Compute", kind="provider", now=now)
    buyer = organisations.create(name="Buyer", kind="buyer", now=now)
    market_id = market.markets.create(slug="main", name="Main", operator_id=operator, now=now)
    market.catalogue.add_line(
        slug=LINE, publisher="Meta", model="Llama-3-8B", display_name="Llama-3-8B", card_name="llama-3-8b", card_format="fp16",
        context_limit=8_192, reference_context=2_048, tokenizer="utf8-4/1", now=now,
    )  # fmt: skip
    market.catalogue.set_list_price(
        line=LINE,
        grade="interactive",
        price_micros=LIST_PRICE,
        valid_from=date(2026, 1, 1),
        source="https://example.com",
    )
    fund(buyer, yuan, now=now)
    return Scene(market_id, *(actors.of_organisation(one) for one in (operator, provider, buyer)))


def fund(organisation_id: UUID, yuan: int, *, now: datetime) -> None:
    """Put money into a wallet."""
    wallet = ledger.open_account(organisation_id=organisation_id, kind="wallet")
    cash = ledger.open_account(organisation_id=None, kind="cash_clearing")
    legs = (Leg(cash, "debit", yuan * 10**6), Leg(wallet, "credit", yuan * 10**6))
    ledger.post([TransferDraft(key=f"fund:{organisation_id}", kind="top_up", legs=legs)], now=now)


def wipe() -> None:
    """Empty all tables after a test that committed; replica mode is how a superuser passes the triggers that refuse it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ '^django_' AND tablename <> ALL(%s)",
            [list(SEEDED)],
        )
        tables = ", ".join(f'"{row[0]}"' for row in cursor.fetchall())
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("UPDATE metering_settle_counter SET last = 0")
        cursor.execute("UPDATE billing_ratingwatermark SET sequence = 0")
