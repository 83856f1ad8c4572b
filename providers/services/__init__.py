"""Writes of providers, one file a subject: `services.pools.add`, `services.offers.post_due`, …"""

from providers.kernel.drafts import DeploymentDraft, PlanDraft, PoolDraft
from providers.services import agents, deployments, offers, outlook, pools, ratings, tiers

__all__ = [
    "DeploymentDraft",
    "PlanDraft",
    "PoolDraft",
    "agents",
    "deployments",
    "offers",
    "outlook",
    "pools",
    "ratings",
    "tiers",
]
