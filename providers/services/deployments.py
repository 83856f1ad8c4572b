"""Deployments: a line served on a pool."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.services import audit
from market import selectors as market
from providers import locks
from providers.kernel.drafts import DeploymentDraft, check_deployment
from providers.kernel.errors import BadValue, NameTaken, NotFound, WorseFormat
from providers.kernel.vocabulary import known_formats, serves_contract
from providers.models import Deployment, EngineKey, OfferPlan, Pool
from providers.services import offers, rights


def add(draft: DeploymentDraft, *, actor: Actor, now: datetime, private_endpoint: bool = False) -> UUID:
    """Register a deployment; gives its id.

    `private_endpoint` lets the gateway call an address of its own network. Pages
    and API never set it: only who runs the site may point the gateway inwards.

    :raises Forbidden, NotFound, BadValue, PrivateEndpoint, WorseFormat, NameTaken: see there.
    :raises market.kernel.errors.UnknownLine: no such line for this organisation.
    """
    rights.check(actor)
    check_deployment(draft, private_endpoint=private_endpoint)
    if not Pool.objects.filter(id=draft.pool_id, organisation_id=actor.organisation_id).exists():
        raise NotFound("There is no such pool.", field="pool")
    line = market.line_for(draft.line, actor.organisation_id)
    if draft.served_format not in known_formats():
        raise BadValue(f"The format is one of {', '.join(known_formats())}.", field="served_format")
    if not serves_contract(draft.served_format, line.card_format):
        raise WorseFormat(
            f"{line.display_name} is sold in {line.card_format}; {draft.served_format} is coarser.",
            field="served_format",
        )
    try:
        with transaction.atomic():
            deployment = Deployment.objects.create(
                pool_id=draft.pool_id,
                line_id=line.id,
                served_format=draft.served_format,
                engine_model=draft.engine_model or line.slug,
                endpoint_url=draft.endpoint_url.rstrip("/").removesuffix("/v1"),
                private_endpoint=private_endpoint,
                rate_st_per_second=draft.rate_st_per_second,
                share_bps=draft.share_bps,
                created_at=now,
            )
            EngineKey.objects.create(deployment=deployment, secret=draft.api_key)
            subject = ids.encode("dep", deployment.id)
            audit.record(actor=actor, action="deployment.added", subject=subject, detail={"line": line.slug}, now=now)
    except IntegrityError as error:
        if "providers_deployment_once" in str(error):
            raise NameTaken("This pool serves the line in this format already.", field="line") from None
        raise
    return deployment.id


def retire(deployment_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Withdraw all offers of a deployment and take it out of use; what was sold is still delivered.

    :raises Forbidden, NotFound: see there.
    """
    rights.check(actor)
    own = Deployment.objects.filter(id=deployment_id, pool__organisation_id=actor.organisation_id)
    if not own.exists():
        raise NotFound("There is no such deployment.")
    with transaction.atomic():
        locked = locks.deployment(deployment_id)
        if locked.state == Deployment.State.RETIRED:
            return
        own.update(state=Deployment.State.RETIRED)
        live = OfferPlan.objects.filter(deployment_id=deployment_id).exclude(state=OfferPlan.State.WITHDRAWN)
        for plan_id in live.order_by("id").values_list("id", flat=True):
            offers.withdraw(plan_id, actor=actor, now=now)
        subject = ids.encode("dep", deployment_id)
        audit.record(actor=actor, action="deployment.retired", subject=subject, detail={}, now=now)
