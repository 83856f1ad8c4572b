"""Pools of hardware."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.services import audit
from providers.kernel.drafts import PoolDraft, check_pool
from providers.kernel.errors import NameTaken
from providers.models import Pool
from providers.services import rights


def add(draft: PoolDraft, *, actor: Actor, now: datetime) -> UUID:
    """Register a pool; gives its id.

    :raises Forbidden, BadValue, NameTaken: see there.
    """
    rights.check(actor)
    check_pool(draft)
    try:
        with transaction.atomic():
            pool = Pool.objects.create(
                organisation_id=actor.organisation_id,
                name=draft.name.strip(),
                vendor=draft.vendor,
                chip=draft.chip.strip(),
                device_count=draft.device_count,
                region=draft.region,
                data_terms=draft.data_terms,
                created_at=now,
            )
            audit.record(actor=actor, action="pool.added", subject=ids.encode("pol", pool.id), detail={}, now=now)
    except IntegrityError as error:
        if "providers_pool_name_once" in str(error):
            raise NameTaken("You have a pool of this name already.", field="name") from None
        raise
    return pool.id
