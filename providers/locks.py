"""The only home of the locks of this app. Taken before those of market and ledger."""

from __future__ import annotations

from uuid import UUID

from providers.models import Agent, Deployment, OfferPlan, Pool


def deployment(deployment_id: UUID) -> Deployment:
    """One deployment, with its pool and line: whoever has it may divide its rate.

    Not the key: the gateway's request log points at the row all the time and must not wait.
    """
    rows = Deployment.objects.select_for_update(of=("self",), no_key=True).select_related("pool", "line")
    return rows.get(id=deployment_id)


def plan(plan_id: UUID) -> OfferPlan:
    """One offer plan, to change its state."""
    return OfferPlan.objects.select_for_update(of=("self",), no_key=True).get(id=plan_id)


def pool(pool_id: UUID) -> Pool | None:
    """One pool, to change its tier."""
    return Pool.objects.select_for_update(of=("self",), no_key=True).filter(id=pool_id).first()


def agent(agent_id: UUID) -> Agent:
    """One agent, with its organisation, to change its state or keys."""
    rows = Agent.objects.select_for_update(of=("self",), no_key=True).select_related("organisation")
    return rows.get(id=agent_id)
