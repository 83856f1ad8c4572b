"""The only home of the market's locks.

Order: the market's row, the market's book, organisations by id, dead man's
switches, rows of the book by id, then (in the ledger) accounts and holds by id,
then supplies and allocations by id. Intake and cancels share the book; a round
has it alone, so what it froze stands until it is written.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from django.db import connection

from market.models import AllocationUse, Book, CancelAfter, Closing, Market, Reservation, Round, Supply

# Longer than the longest round that is at work: 100,000 orders take about three seconds.
PATIENCE = "8s"


def market_to_clear(market_id: UUID) -> Market | None:
    """The market's row for one round; None while another worker has it."""
    return Market.objects.select_for_update(no_key=True, skip_locked=True, of=("self",)).filter(id=market_id).first()


def market_to_change(market_id: UUID) -> Market:
    """The market's row, once no round is running."""
    return Market.objects.select_for_update(no_key=True, of=("self",)).get(id=market_id)


def open_round(market: Market) -> Round:
    """The round that collects orders now."""
    return Round.objects.select_for_update(no_key=True, of=("self",)).get(market=market, number=market.round_number)


def book_shared(market_id: UUID) -> None:
    """Keep rounds out of the book until the end of the transaction; other intake goes on."""
    _advisory("pg_advisory_xact_lock_shared", market_id)


def book_exclusive(market_id: UUID) -> None:
    """Wait for intake under way, and have the book alone until the end of the transaction."""
    _advisory("pg_advisory_xact_lock", market_id)


def organisations(organisation_ids: Collection[UUID]) -> None:
    """One intake at a time for each organisation, so that it cannot race itself into a self-trade."""
    for organisation_id in sorted(organisation_ids):
        _advisory("pg_advisory_xact_lock", organisation_id)


def book_row(order_id: UUID) -> Book | None:
    """An order's row in the book, so that nobody cancels it meanwhile; None where it has ended."""
    return Book.objects.select_for_update(of=("self",)).filter(order_id=order_id).first()


def switches_due(market_id: UUID, now: datetime) -> list[CancelAfter]:
    """The dead man's switches of a market that fire now."""
    rows = CancelAfter.objects.select_for_update(of=("self",)).filter(market_id=market_id, fires_at__lte=now)
    return list(rows.order_by("id"))


def supplies(supply_ids: Collection[UUID]) -> dict[UUID, Supply]:
    """These supplies by id, with their cells."""
    rows = Supply.objects.select_for_update(of=("self",)).select_related("cell").filter(id__in=list(supply_ids))
    return {row.id: row for row in rows.order_by("id")}


def uses(allocation_ids: Collection[UUID]) -> dict[UUID, AllocationUse]:
    """What is drawn of these allocations, where a row was made."""
    rows = AllocationUse.objects.select_for_update(of=("self",)).filter(allocation_id__in=list(allocation_ids))
    return {row.allocation_id: row for row in rows.order_by("allocation_id")}


def closing(market_id: UUID) -> Closing | None:
    """How far a market's windows are closed, made if missing; None while another worker closes."""
    start = datetime.fromtimestamp(0, tz=UTC)
    Closing.objects.bulk_create([Closing(market_id=market_id, since=start, closed_until=start)], ignore_conflicts=True)
    return Closing.objects.select_for_update(skip_locked=True, of=("self",)).filter(market_id=market_id).first()


def charges() -> None:
    """Charges become visible in the order of their ids, so that who remembers the last one misses none.

    The last lock that a transaction takes.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('market.charges', 0))")


def reservation(reservation_id: UUID) -> Reservation | None:
    """One reservation."""
    return Reservation.objects.select_for_update(of=("self",)).filter(id=reservation_id).first()


def _advisory(function: str, subject: UUID) -> None:
    """Take an advisory lock, or give up after a while: its holder may be a process that is frozen, not at work.

    :raises OperationalError: not had in time. The transaction is over; the caller may try again.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)", [PATIENCE])
        before = cursor.fetchone()[0]
        # Random bits of a UUIDv7; two subjects that share them only wait for each other.
        cursor.execute(f"SELECT {function}(%s)", [int.from_bytes(subject.bytes[8:], signed=True)])
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
