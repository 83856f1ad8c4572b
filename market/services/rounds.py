"""Rounds: found in the tables when due, frozen, cleared, and written in one transaction or not at all."""

from __future__ import annotations

import gc
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
from market import locks
from market.kernel import windows
from market.models import CellPrice, FeedFrame, Market, Round, RoundPrice
from market.services import (
    certificates,
    components,
    failpoints,
    faults,
    freezing,
    markets,
    orders,
    shortfalls,
    switches,
    writing,
)
from market.services.clearing import Cleared, Outcome, clear_book
from market.services.frames import frame_text
from market.services.freezing import Running

log = structlog.get_logger(__name__)

# A round that fails this often is parked: others go on, and a person looks at it.
TRIES = 3
# How long the hold of an allocation outlives its window, so that the last usage, and then what was not drawn, is
# still paid from it: twice the grace after which windows are closed.
HOLD_GRACE_SECONDS = 1_800


class RoundTaken(Exception):
    """A round was taken from a process that is alive; three times in a row park the market."""


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
    """Clear the round of every market whose time has come, or that was left frozen."""
    open_markets = Market.objects.filter(state=Market.State.OPEN).order_by("id").values_list("id", flat=True)
    return [summary for market_id in open_markets if (summary := clear(market_id, now=now)) is not None]


def clear(market_id: UUID, *, now: datetime) -> RoundSummary | None:
    """Clear the round of a market; None where none is due, it is halted, or another worker is at it.

    Three steps: the order set is frozen in one transaction, cleared outside any, and what it came to is written in
    another, all of it or nothing. A process that is lost between leaves a frozen round, which the next one freezes anew.
    After a stall there is one round, and the next one is due at the next nominal close. A round that raises leaves its
    orders as they were; after three tries its market is parked with the reason.
    """
    try:
        switches.fire_due(market_id, now=now)
        with locks.clearer(market_id) as is_alone, _no_collections():
            if is_alone:
                shortfalls.buy_back(market_id, now=now)
            running = freezing.freeze(market_id, now=now, is_alone=is_alone)
            if running is None:
                return None
            if running.was_taken:
                _count_failure(market_id, RoundTaken("its clearer held it and came to no end"), now)
            failpoints.reached("round.frozen")
            outcome = clear_book(running.frozen, run=components.sharing(running))
            failpoints.reached("round.before_writing")
            summary = _write(running, outcome, now)
    except components.Superseded:
        log.warning("market.round.superseded", market_id=str(market_id))
        return None
    except (OperationalError, InterfaceError, InternalError, ledger.Busy):
        # The database went away, or others kept the rows too long: the next tick tries again.
        log.warning("market.round.put_off", market_id=str(market_id), exc_info=True)
        return None
    except Exception as error:
        log.exception("market.round.failed", market_id=str(market_id))
        _count_failure(market_id, error, now)
        return None
    if summary is not None:
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


def _write(running: Running, outcome: Outcome, now: datetime) -> RoundSummary | None:
    """Write all that a round came to, in one transaction; None where the round was taken from this process meanwhile."""
    with transaction.atomic():
        market = locks.market_to_change(running.market_id)
        locks.changes_alone(market.id)
        round_ = locks.round_to_clear(market)
        if market.state != Market.State.OPEN or (round_.id, round_.fence) != (running.round_id, running.fence):
            log.warning("market.round.superseded", market_id=str(market.id), round_id=str(running.round_id))
            return None
        fills = writing.write_fills(outcome, round_)
        allocations = writing.write_allocations(outcome, round_, now=now)
        writing.end_for_this_round_only(outcome, now=now)
        writing.add_sold(
            outcome, [max(1, windows.seconds_left(one.window_start, now)) for one in outcome.book.products]
        )
        writing.change_holds(outcome, allocations, round_, grace_seconds=_grace_seconds(), now=now)
        _write_prices(outcome, round_)
        certificates.write(outcome, round_)
        faults.record(outcome, round_, now=now)
        orders.end_marked(market.id, now=now)
        _finish(round_, outcome, seed=bytes(market.seed), fills=fills, now=now)
        components.forget(round_.id)
        _go_on(market)
        _publish(market, round_, outcome, now)
        failpoints.reached("round.before_commit")
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


def _go_on(market: Market) -> None:
    """The next round, which collects orders already, is the next to be cleared."""
    market.seed, market.next_seed, market.frozen_round = market.next_seed, None, None
    market.round_number += 1
    market.failures = 0
    market.save(update_fields=["seed", "next_seed", "frozen_round", "round_number", "failures"])


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


def _count_failure(market_id: UUID, error: Exception, now: datetime) -> None:
    with transaction.atomic():
        market = locks.market_to_change(market_id)
        failures = market.failures + 1
        if failures >= TRIES:
            markets.set_state(market, Market.State.PARKED, f"{type(error).__name__}: {error}", now=now)
        market.failures = failures
        market.save(update_fields=["failures"])
