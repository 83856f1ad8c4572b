"""A bought hour: one operator, one provider, one buyer with two allocations at two prices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from config import seeding
from market import selectors as market_reads
from market import services as market
from market.selectors import AllocationView
from metering_ingest.kernel.events import TYPE, UsageEvent
from providers import selectors as provider_reads
from providers import services as providers
from providers.kernel.schedule import Once

NOW = datetime(2026, 11, 24, 15, 0, 2, tzinfo=UTC)
HOUR = datetime(2026, 11, 24, 16, tzinfo=UTC)
LINE, GRADE = "llama-3-8b", "interactive"


@dataclass(frozen=True)
class Bought:
    """Who takes part, and what was bought, oldest round first."""

    operator: Actor
    buyer: Actor
    provider: Actor
    stranger: Actor
    allocations: tuple[AllocationView, ...]
    digest: str


def build(*, quantities: tuple[int, ...] = (20_000, 10_000), deposit_yuan: int = 1_000) -> Bought:
    """Buy each quantity (ST) in a round of its own, at a limit that falls."""
    operator, _ = seeding.operator("Operator", now=NOW)
    seeding.line(seeding.LineSpec(LINE, "Meta", "Llama 3 8B", {GRADE: 3_000_000}), now=NOW)
    provider = seeding.provider(
        "Provider",
        [seeding.DeploymentSpec("Pool", "nvidia", "A100", 8, "cn-east", LINE, 1_000, [], "https://engine.example")],
        now=NOW,
    )
    _offer(provider)
    buyer = seeding.buyer("Buyer", deposit_micros=deposit_yuan * 10**6, staff=operator, now=NOW)
    stranger = seeding.buyer("Stranger", deposit_micros=0, staff=operator, now=NOW)
    product = market_reads.product_at(LINE, GRADE, HOUR)
    assert product is not None
    for quantity in quantities:
        buy(buyer, quantity)
    bought = tuple(market_reads.product_fills(buyer.organisation_id, product.id))
    assert sum(one.quantity_st for one in bought) == sum(quantities)
    return Bought(operator, buyer, provider, stranger, bought, bought[0].card_digest)


def _offer(provider: Actor) -> None:
    """The one hour that is bought; posting all of two days would take most of a test's time."""
    (deployment,) = provider_reads.deployments_of(provider)
    plan = providers.PlanDraft(deployment.id, GRADE, Once(HOUR), 1_000, 1_000_000, 10_000)
    providers.offers.post(providers.offers.create(plan, actor=provider, now=NOW), actor=provider, now=NOW)


def buy(buyer: Actor, quantity_st: int) -> None:
    """Buy in the next round, above every offer."""
    due = market_reads.the_market()
    draft = market.OrderDraft(buyer.organisation_id, "buy", LINE, GRADE, HOUR, quantity_st, 2_900_000)
    market.orders.place(draft, actor=buyer, now=NOW)
    market.rounds.clear(due.id, now=due.next_close_at)


def event(allocation: AllocationView, name: str, *, prompt: int = 100, cached: int = 0, generated: int = 50,
          at: datetime | None = None, **more: Any) -> UsageEvent:  # fmt: skip
    """One request's event."""
    return UsageEvent(
        source="gateway/test", id=name, type=TYPE, time=at or HOUR + timedelta(minutes=1), subject=name,
        allocation_id=more.pop("allocation_id", allocation.id), card_digest=more.pop("card", allocation.card_digest),
        prompt_tokens=prompt, cached_tokens=cached, completion_tokens=generated, max_tokens=more.pop("max_tokens", None),
        finish_reason="stop", started_at=None, finished_at=None,
    )  # fmt: skip


def cloud_event(allocation_id: UUID, digest: str, name: str, **data: Any) -> dict[str, Any]:
    """The same as a CloudEvent."""
    return {
        "specversion": "1.0", "id": name, "source": "gateway/test", "type": TYPE, "time": "2026-11-24T16:01:00Z",
        "data": {"allocation": ids.encode("alc", allocation_id), "card": digest, "prompt_tokens": 100,
                 "completion_tokens": 50, **data},
    }  # fmt: skip
