"""The outbox: messages that follow from a committed change, sent afterwards and at least once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from accounts.models import OutboxRow

log = structlog.get_logger(__name__)
_MOST_ATTEMPTS = 20


def add(topic: str, payload: dict[str, Any], *, now: datetime) -> None:
    """Leave a message, in the transaction of the change that it tells of."""
    OutboxRow.objects.create(topic=topic, payload=payload, created_at=now)


def relay(*, now: datetime, limit: int = 200) -> int:
    """Hand waiting messages to their handlers; gives how many were sent.

    Two relays take different rows. A handler that fails leaves its row waiting,
    and after 20 tries it is set aside as failed.
    """
    sent = 0
    with transaction.atomic():
        rows = OutboxRow.objects.select_for_update(skip_locked=True).filter(state=OutboxRow.State.WAITING)
        for row in rows.order_by("id")[:limit]:
            sent += _send(row, now)
    return sent


def _send(row: OutboxRow, now: datetime) -> int:
    try:
        with transaction.atomic():
            for handler in _handlers(row.topic):
                handler(row.topic, row.payload)
    except Exception:
        log.exception("accounts.outbox.handler_failed", outbox_id=row.id, topic=row.topic)
        row.attempts += 1
        if row.attempts >= _MOST_ATTEMPTS:
            row.state = OutboxRow.State.FAILED
        row.save(update_fields=["attempts", "state"])
        return 0
    row.state, row.sent_at = OutboxRow.State.SENT, now
    row.save(update_fields=["state", "sent_at"])
    return 1


def _handlers(topic: str) -> list[Callable[[str, dict[str, Any]], None]]:
    return [_load(path) for prefix, path in settings.OUTBOX_HANDLERS.items() if topic.startswith(prefix)]


@cache
def _load(path: str) -> Callable[[str, dict[str, Any]], None]:
    handler: Callable[[str, dict[str, Any]], None] = import_string(path)
    return handler
