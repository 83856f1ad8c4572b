"""Seeded organisations and offers, through the services that everybody uses. The demo and the replay share them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts import services as accounts
from accounts.kernel.actor import Actor
from accounts.selectors import actors
from billing import services as billing
from ledger import services as ledger
from market import services as market
from providers import services as providers
from providers.kernel.schedule import Weekly
from token_standard.catalogue import models

_NAMESPACE = uuid.UUID("6f6b656e-7370-4f74-8000-000000000001")
ALWAYS = Weekly(frozenset(range(7)), 0, 24)
REFERENCE_CONTEXT = 2_048
TOKENIZER = "utf8-4/1"
FEE_BPS = 500
LIST_SOURCE = "Operator's list price, example data"


@dataclass(frozen=True)
class LineSpec:
    """A model line by its card, with list prices in micro-yuan per million ST by grade."""

    slug: str
    publisher: str
    display_name: str
    prices: dict[str, int]


@dataclass(frozen=True)
class DeploymentSpec:
    """A pool with one deployment and the offers that sell it: (grade, discount in bps, floor in micro-yuan, share in bps)."""

    pool: str
    vendor: str
    chip: str
    devices: int
    region: str
    line: str
    rate_st_per_second: int
    offers: Sequence[tuple[str, int, int, int]]
    endpoint: str
    key: str = ""
    private: bool = False


def seeded_id(name: str) -> UUID:
    """The same id for the same name on every machine, so that seeded organisations are known again."""
    return uuid.uuid5(_NAMESPACE, name)


def operator(name: str, *, now: datetime, **details: str) -> tuple[Actor, UUID]:
    """Make the operator and its market; gives the operator as an actor, and the market's id."""
    operator_id = accounts.organisations.create(
        name=name, kind="operator", now=now, organisation_id=seeded_id("operator"), **details
    )
    market_id = market.markets.create(
        slug="cn-spot", name="Spot market", operator_id=operator_id, now=now, fee_bps=FEE_BPS
    )
    return actors.of_organisation(operator_id), market_id


def line(spec: LineSpec, *, now: datetime) -> None:
    """Add a model line with its list prices."""
    known = {model.name for model in models()}
    assert spec.slug in known, spec.slug
    market.catalogue.add_line(
        slug=spec.slug,
        publisher=spec.publisher,
        model=spec.display_name,
        display_name=spec.display_name,
        card_name=spec.slug,
        card_format="fp16",
        context_limit=32_768,
        reference_context=REFERENCE_CONTEXT,
        tokenizer=TOKENIZER,
        now=now,
    )
    for grade, price in spec.prices.items():
        market.catalogue.set_list_price(
            line=spec.slug, grade=grade, price_micros=price, valid_from=now.date(), source=LIST_SOURCE
        )


def buyer(name: str, *, deposit_micros: int, staff: Actor, now: datetime, **details: str) -> Actor:
    """Make a buyer and credit its wallet; gives it as an actor."""
    buyer_id = accounts.organisations.create(
        name=name, kind="buyer", now=now, organisation_id=seeded_id(name), **details
    )
    ledger.open_account(organisation_id=buyer_id, kind="wallet")
    if deposit_micros:
        billing.topups.record(
            organisation_id=buyer_id, amount_micros=deposit_micros, reference=f"SEED-{name}", actor=staff, now=now
        )
    return actors.of_organisation(buyer_id)


def provider(name: str, specs: Sequence[DeploymentSpec], *, now: datetime, **details: str) -> Actor:
    """Make a provider with its pools, deployments and weekly offers; the offers are live."""
    provider_id = accounts.organisations.create(
        name=name, kind="provider", now=now, organisation_id=seeded_id(name), **details
    )
    actor = actors.of_organisation(provider_id)
    for spec in specs:
        pool = providers.PoolDraft(spec.pool, spec.vendor, spec.chip, spec.devices, spec.region)
        pool_id = providers.pools.add(pool, actor=actor, now=now)
        draft = providers.DeploymentDraft(
            pool_id, spec.line, "fp16", spec.endpoint, spec.rate_st_per_second, api_key=spec.key
        )
        deployment_id = providers.deployments.add(draft, actor=actor, now=now, private_endpoint=spec.private)
        for grade, discount_bps, floor_micros, share_bps in spec.offers:
            plan = providers.PlanDraft(deployment_id, grade, ALWAYS, discount_bps, floor_micros, share_bps)
            plan_id = providers.offers.create(plan, actor=actor, now=now)
            providers.offers.post(plan_id, actor=actor, now=now)
    return actor
