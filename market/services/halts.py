"""Halts of one line or one organisation, beside the market's own."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from accounts.kernel.actor import Actor
from accounts.services import audit
from market import locks, selectors
from market.kernel.errors import LineHalted, OrganisationHalted
from market.models import Halt, Market
from market.services import freezing


def impose(
    *,
    reason: str,
    actor: Actor,
    now: datetime,
    line_id: UUID | None = None,
    organisation_id: UUID | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> UUID:
    """Halt a line or an organisation, from now or `starts_at` on; gives the halt's id.

    Orders on their way in and a round that is being written are waited for; one that is being cleared is frozen anew.
    Afterwards nothing of what is halted enters or trades.
    """
    with transaction.atomic():
        for market_id in Market.objects.order_by("id").values_list("id", flat=True):
            locks.book_alone(market_id)
            freezing.take_back(market_id)
        halt = Halt.objects.create(
            line_id=line_id,
            organisation_id=organisation_id,
            reason=reason,
            starts_at=starts_at or now,
            ends_at=ends_at,
            imposed_by=actor.user_id or actor.key_id,
            created_at=now,
        )
        _audit("halt.imposed", halt.id, {"of": str(line_id or organisation_id), "reason": reason}, actor, now)
    return halt.id


def lift(halt_id: UUID, *, actor: Actor, now: datetime) -> None:
    """End a halt now; one that is over stays as it is."""
    with transaction.atomic():
        lasting = Halt.objects.filter(id=halt_id).exclude(ends_at__lte=now)
        if lasting.update(ends_at=Greatest(F("starts_at"), now)):
            _audit("halt.lifted", halt_id, {}, actor, now)


def check(*, organisation_ids: Collection[UUID], lines: Collection[str], now: datetime) -> None:
    """Refuse new orders of a halted organisation or line.

    :raises LineHalted, OrganisationHalted: `details` give the reason, and the end where one is set.
    """
    for halt in selectors.halts(now=now):
        details = {"reason": halt.reason, **({"until": halt.ends_at.isoformat()} if halt.ends_at else {})}
        if halt.line in lines:
            raise LineHalted("This line is halted. Open orders may be cancelled.", **details)
        if halt.organisation_id in organisation_ids:
            raise OrganisationHalted("This organisation is halted. Open orders may be cancelled.", **details)


def _audit(action: str, halt_id: UUID, detail: dict[str, str], actor: Actor, now: datetime) -> None:
    audit.record(actor=actor, action=action, subject=str(halt_id), detail=detail, now=now)
