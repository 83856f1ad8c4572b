"""The first step of a round: its order set is fixed and hashed, and the next round takes new orders."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F

from market import locks, selectors
from market.kernel import closing
from market.models import Market, Round
from market.services import orders
from market.services.clearing import Frozen, freeze_book
from market.services.sealing import Name, round_keys

# Who froze a round may be frozen itself, with its session alive. After this others take its round from it: far longer
# than any search within the engine's bounds.
LEASE = timedelta(seconds=120)


@dataclass(frozen=True)
class Running:
    """A frozen round on its way; only under this `fence` may it be written."""

    market_id: UUID
    round_id: UUID
    fence: int
    frozen: Frozen
    was_taken: bool  # from a process that still has its session, and did not come to an end


def freeze(market_id: UUID, *, now: datetime, is_alone: bool) -> Running | None:
    """Freeze the round of a market that is due, or anew one whose clearer is gone; None where there is none.

    What was cancelled or ran out while its clearer was at it ends first. Orders of the next round stay in the next.
    """
    if not is_alone and not _lapsed(market_id, now):
        return None  # before any lock: who is at it must not find the market's row taken by those who only look
    with transaction.atomic():
        market = locks.market_to_clear(market_id)
        if market is None or not _is_due(market, now) or not (is_alone or _lapsed(market_id, now)):
            return None
        locks.book_alone(market.id)
        round_ = locks.round_to_clear(market)
        orders.end_marked(market.id, now=now)
        frozen = _frozen(market, round_, now)
        _open_next(market, now)
    return Running(market.id, round_.id, round_.fence, frozen, was_taken=not is_alone)


def take_back(market_id: UUID) -> None:
    """Send a running round back to the freeze: who froze it may not write it any more. The book is locked."""
    Round.objects.filter(market_id=market_id, state=Round.State.FROZEN).update(fence=F("fence") + 1)


def _is_due(market: Market, now: datetime) -> bool:
    if market.state != Market.State.OPEN:
        return False
    if market.frozen_round is not None:
        return True
    return closing.is_due(now, next_close_at=market.next_close_at, tick_seconds=market.tick_seconds)


def _lapsed(market_id: UUID, now: datetime) -> bool:
    """Whether who froze a round had all the time there is."""
    return Round.objects.filter(market_id=market_id, state=Round.State.FROZEN, lease_until__lte=now).exists()


def _frozen(market: Market, round_: Round, now: datetime) -> Frozen:
    again = round_.number if market.frozen_round else None
    book = selectors.frozen_book(market.id, now=now, round_number=again)
    quotes = selectors.quotes(book.products, now=now)
    standing, pinned = selectors.standing(book), selectors.pinned(now=now)
    name = Name(market.slug, round_.number, round_keys(round_.id)[0])
    frozen = freeze_book(book, quotes, seed=bytes(market.seed), standing=standing, pinned=pinned, name=name)
    round_.state = Round.State.FROZEN
    round_.closed_at = max(now, round_.opened_at)
    round_.root = frozen.sealed.root
    round_.cutoff_sequence = int(book.sequence.max(initial=0))
    round_.orders = int(frozen.taking_part.sum())
    round_.fence += 1
    round_.lease_until = now + LEASE
    round_.save()
    return frozen


def _open_next(market: Market, now: datetime) -> None:
    """Commit to the next seed and open the next round, once; it closes on the grid after this one's last freeze."""
    is_first = market.frozen_round is None
    if is_first:
        market.frozen_round, market.next_seed = market.round_number, secrets.token_bytes(closing.SEED_BYTES)
    assert market.next_seed is not None
    seed = bytes(market.next_seed)
    market.next_close_at = closing.next_close(now, tick_seconds=market.tick_seconds, seed=seed)
    market.save(update_fields=["frozen_round", "next_seed", "next_close_at"])
    if is_first:
        number, commitment = market.round_number + 1, closing.commitment(seed)
        Round.objects.create(market=market, number=number, seed_commitment=commitment, opened_at=now)
