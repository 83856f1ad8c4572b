"""The live feed: frames of cleared rounds, in sequence."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from market.models import FeedFrame, Market

# A reader this far behind is better served by a snapshot.
MOST_FRAMES = 50


@dataclass(frozen=True)
class Frame:
    """One message: its number, the number before it, and its JSON text."""

    sequence: int
    previous: int
    payload: str


def feed_after(market_id: UUID, sequence: int) -> list[Frame]:
    """The frames after this one, oldest first, at most 50."""
    rows = FeedFrame.objects.filter(market_id=market_id, sequence__gt=sequence).order_by("sequence")[:MOST_FRAMES]
    return [Frame(row.sequence, row.previous, row.payload) for row in rows]


def snapshot(market_id: UUID) -> Frame | None:
    """The newest frame, which says everything that is current; None before the first round."""
    row = FeedFrame.objects.filter(market_id=market_id).order_by("-sequence").first()
    return Frame(row.sequence, row.previous, row.payload) if row else None


def is_halted(market_id: UUID) -> bool:
    """Whether the market takes no orders now."""
    return not Market.objects.filter(id=market_id, state=Market.State.OPEN).exists()
