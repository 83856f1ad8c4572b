"""What was changed of an order, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from market.kernel.amending import Asked
from market.models import Amendment


@dataclass(frozen=True)
class AmendmentView:
    """What an order asked from round `round_number` on."""

    asked: Asked
    round_number: int
    created_at: datetime


def amendments(order_id: UUID) -> list[AmendmentView]:
    """The changes of an order, oldest first. Whoever asks has the order's view, and so may see them."""
    rows = Amendment.objects.filter(order_id=order_id).order_by("id")
    return [
        AmendmentView(
            Asked(row.quantity_st, row.limit_micros, row.expires_at),
            row.round_number,
            row.created_at,
        )
        for row in rows
    ]
