"""Rounds: found in the tables when due, cleared and written in one transaction, or not at all."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError, transaction

from accounts.services import outbox
from ledger import services as ledger
from market import locks, selectors
from market.kernel import closing, windows
from market.models import CellPrice, FeedFrame, Market, Round, RoundPrice
from market.services import certificates, failpoints, faults, switches, writing
from market.services.clearing import Cleared, Outcome, clear_book, freeze_book
from market.services.frames import frame_text
from market.services.markets import SEED_BYTES

log = structlog.get_logger(__name__)

# A round that fails this often is parked: others go on, and a person looks at it.
TRIES = 3
# How long the hold of an allocation outlives its window, so that the last usage, and then what was not drawn, is
# still paid from it: twice the grace after which windows are closed.
HOLD_GRACE_SECONDS = 1_800


@dataclass(frozen=True)
class RoundSummary:
    """What one cleared round did."""

    market_id: UUID
    round_id: UUID
    number: int
    closed_at: datetime
    next_close_at: datetime
    orders: int
    products: int
    fills: int
    allocations: int
    volume_st: int
    engine_micros: int


def clear_due(*, now: datetime) -> list[RoundSummary]:
    """Clear the open round of every market whose time has come, each in a transaction of its own."""
    open_markets = Market.objects.filter(state=Market.State.OPEN).order_by("id").values_list("id", flat=True)
    return [summary for market_id in open_markets if (summary := clear(market_id, now=now)) is not None]


def clear(market_id: UUID, *, now: datetime) -> RoundSummary | None:
    """Clear the open round of a market; None where it is not due, halted, or another worker is at it.

    After a stall there is one round, and the next one is due at the next nominal close. A round that raises leaves
    nothing behind; after three tries its market is parked with the reason.
    """
    try:
        switches.fire_due(market_id, now=now)
        with _no_collections(), transaction.atomic():
            market = locks.market_to_clear(market_id)
            if market is None or market.state != Market.State.OPEN or not _is_due(market, now):
                return None
            locks.book_exclusive(market.id)
            summary = _clear(market, now)
            failpoints.reached("round.before_commit")
    except (OperationalError, InterfaceError, InternalError, ledger.Busy):
        # The database went away, or others kept the rows too long: the next tick tries again.
        log.warning("market.round.put_off", market_id=str(market_id), exc_info=True)
        return None
    except Exception as error:
        log.exception("market.round.failed", market_id=str(market_id))
        _count_failure(market_id, error)
        return None
    failpoints.reached("round.after_commit")
    log.info("market.round.cleared", market_id=str(market_id), number=summary.number, fills=summary.fills)
    return summary


@contextmanager
def _no_collections() -> Iterator[None]:
    """A round holds hundreds of thousands of live objects and makes no cycles: collections would only walk them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _is_due(market: Market, now: datetime) -> bool:
    return closing.is_due(now, next_close_at=market.next_close_at, tick_seconds=market.tick_seconds)


def _clear(market: Market, now: datetime) -> RoundSummary:
    round_ = locks.open_round(market)
    seed = bytes(market.seed)
    book = selectors.frozen_book(market.id, now=now)
    quotes = selectors.quotes(book.products, now=now)
    frozen = freeze_book(book, quotes, seed=seed, standing=selectors.standing(book), pinned=selectors.pinned(now=now))
    outcome = clear_book(frozen)
    _freeze(round_, outcome, now)
    fills = writing.write_fills(outcome, round_)
    allocations = writing.write_allocations(outcome, round_, now=now)
    writing.change_holds(outcome, allocations, round_, grace_seconds=_grace_seconds(), now=now)
    writing.end_for_this_round_only(outcome, now=now)
    writing.add_sold(outcome, [max(1, windows.seconds_left(one.window_start, now)) for one in book.products])
    _write_prices(outcome, round_)
    certificates.write(outcome, round_)
    faults.record(outcome, round_, now=now)
    _finish(round_, outcome, seed=seed, fills=fills, now=now)
    _open_next(market, now)
    _publish(market, round_, outcome, now)
    return RoundSummary(
        market_id=market.id,
        round_id=round_.id,
        number=round_.number,
        closed_at=round_.closed_at or now,
        next_close_at=market.next_close_at,
        orders=round_.orders,
        products=round_.products,
        fills=fills,
        allocations=len(allocations),
        volume_st=round_.volume_st,
        engine_micros=outcome.engine_micros,
    )


def _grace_seconds() -> int:
    return int(getattr(settings, "MARKET_HOLD_GRACE_SECONDS", HOLD_GRACE_SECONDS))


def _freeze(round_: Round, outcome: Outcome, now: datetime) -> None:
    """From here on the order set stands; fills are refused in any other state."""
    round_.state = Round.State.FROZEN
    round_.closed_at = max(now, round_.opened_at)
    round_.root = outcome.root
    round_.cutoff_sequence = int(outcome.book.sequence.max(initial=0))
    round_.orders = int(outcome.taking_part.sum())
    round_.save(update_fields=["state", "closed_at", "root", "cutoff_sequence", "orders"])


def _finish(round_: Round, outcome: Outcome, *, seed: bytes, fills: int, now: datetime) -> None:
    round_.state = Round.State.CLEARED
    round_.seed = seed
    round_.cleared_at = max(now, round_.opened_at)
    round_.fills = fills
    round_.products = len(outcome.cleared)
    round_.volume_st = sum(one.volume_st for one in outcome.cleared)
    round_.engine_micros = outcome.engine_micros
    round_.save(update_fields=["state", "seed", "cleared_at", "fills", "products", "volume_st", "engine_micros"])


def _write_prices(outcome: Outcome, round_: Round) -> None:
    RoundPrice.objects.bulk_create([_price_row(one, round_) for one in outcome.cleared], batch_size=1_000)
    CellPrice.objects.bulk_create(
        [
            CellPrice(
                round=round_,
                product_id=one.product.id,
                cell_id=UUID(bytes=cell.cell),
                price_micros=cell.price_micros,
                low_micros=cell.low_micros,
                high_micros=cell.high_micros,
                volume_st=cell.volume_st,
            )
            for one in outcome.cleared
            for cell in one.cells
        ],
        batch_size=1_000,
    )


def _price_row(one: Cleared, round_: Round) -> RoundPrice:
    collar = one.quote.collar
    return RoundPrice(
        round=round_,
        number=round_.number,
        product_id=one.product.id,
        price_micros=one.price_micros,
        low_micros=one.low_micros,
        high_micros=one.high_micros,
        volume_st=one.volume_st,
        welfare=one.welfare,
        indicative_micros=one.indicative_micros,
        collar_low_micros=collar.low if collar else None,
        collar_high_micros=collar.high if collar else None,
        collar_hit=one.collar_hit,
        collar_bps=one.quote.band.bps,
        collar_hits=one.quote.band.hits,
        bids=one.bids,
        offers=one.offers,
        curve=one.curve,
    )


def _open_next(market: Market, now: datetime) -> None:
    """Commit to the next seed, then open the next round."""
    market.seed = secrets.token_bytes(SEED_BYTES)
    market.round_number += 1
    market.next_close_at = closing.next_close(now, tick_seconds=market.tick_seconds, seed=market.seed)
    market.failures = 0
    market.save(update_fields=["seed", "round_number", "next_close_at", "failures"])
    Round.objects.create(
        market=market, number=market.round_number, seed_commitment=closing.commitment(market.seed), opened_at=now
    )


def _publish(market: Market, round_: Round, outcome: Outcome, now: datetime) -> None:
    previous = round_.number - 1
    FeedFrame.objects.create(
        market=market,
        sequence=round_.number,
        previous=previous,
        payload=frame_text(outcome, round_, next_close_at=market.next_close_at, at=now),
        created_at=now,
    )
    outbox.add(
        "market.round",
        {"market": market.slug, "number": round_.number, "fills": round_.fills, "volume_st": str(round_.volume_st)},
        now=now,
    )


def _count_failure(market_id: UUID, error: Exception) -> None:
    with transaction.atomic():
        market = locks.market_to_change(market_id)
        market.failures += 1
        if market.failures >= TRIES:
            market.state, market.state_reason = Market.State.PARKED, f"{type(error).__name__}: {error}"[:500]
        market.save(update_fields=["failures", "state", "state_reason"])
