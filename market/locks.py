"""The only home of the market's locks.

Order: the market's row, the market's intake, its changes, organisations by id,
dead man's switches, rows of the book by id, uses of allocations by id, supplies
by id, then (in the ledger) accounts and holds by id. New orders share the intake,
and whatever changes open orders shares the changes; a freeze has both alone for
a moment, and the writing of a round has the changes alone. Between the two a
round is cleared without any lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from django.db import DatabaseError, connection

from market.models import AllocationUse, Book, CancelAfter, Closing, Market, Reservation, Round, Supply

# Longer than the longest round takes to be written: 100,000 orders take about three seconds.
PATIENCE = "8s"
# Told apart from the lock of the intake, and from that of an organisation.
_CHANGES, _CLEARER = 0x6368616E6765, 0x636C6561726572


@contextmanager
def clearer(market_id: UUID) -> Iterator[bool]:
    """Be the one process that clears this market, if no other is; gives whether. It ends with the process at the latest.

    A lock of the session, so workers keep their own connections to the server, without a pooler between.
    """
    key = _key(market_id, _CLEARER)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        is_alone = bool(cursor.fetchone()[0])
    try:
        yield is_alone
    finally:
        if is_alone and not connection.needs_rollback:
            _unlock(key)


def _unlock(key: int) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
    except DatabaseError:
        connection.close()  # the lock goes with its session


def market_to_clear(market_id: UUID) -> Market | None:
    """The market's row for the freeze; None while another worker has it."""
    return Market.objects.select_for_update(no_key=True, skip_locked=True, of=("self",)).filter(id=market_id).first()


def market_to_change(market_id: UUID) -> Market:
    """The market's row, once no round is being frozen or written."""
    return Market.objects.select_for_update(no_key=True, of=("self",)).get(id=market_id)


def round_to_clear(market: Market) -> Round:
    """The next round to be cleared."""
    return Round.objects.select_for_update(no_key=True, of=("self",)).get(market=market, number=market.round_number)


def intake(market_id: UUID) -> None:
    """Keep freezes away until the end of the transaction, while new orders come in."""
    _advisory("pg_advisory_xact_lock_shared", _key(market_id))


def changes(market_id: UUID) -> None:
    """Keep freezes and the writing of rounds away until the end of the transaction, while open orders change."""
    _advisory("pg_advisory_xact_lock_shared", _key(market_id, _CHANGES))


def changes_alone(market_id: UUID) -> None:
    """Wait for changes under way; open orders stand still until the end of the transaction."""
    _advisory("pg_advisory_xact_lock", _key(market_id, _CHANGES))


def book_alone(market_id: UUID) -> None:
    """Wait for intake and changes under way, and have the book alone until the end of the transaction."""
    _advisory("pg_advisory_xact_lock", _key(market_id))
    changes_alone(market_id)


def organisations(organisation_ids: Collection[UUID]) -> None:
    """One intake at a time for each organisation, so that it cannot race itself into a self-trade."""
    for organisation_id in sorted(organisation_ids):
        _advisory("pg_advisory_xact_lock", _key(organisation_id))


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


def _key(subject: UUID, purpose: int = 0) -> int:
    """Random bits of a UUIDv7; two subjects that share them only wait for each other."""
    return int.from_bytes(subject.bytes[8:], signed=True) ^ purpose


def _advisory(function: str, key: int) -> None:
    """Take an advisory lock, or give up after a while: its holder may be a process that is frozen, not at work.

    :raises OperationalError: not had in time. The transaction is over; the caller may try again.
    """
    with connection.cursor() as cursor:
        # One statement, whose columns are worked out from left to right.
        cursor.execute(
            "WITH before AS MATERIALIZED (SELECT current_setting('lock_timeout') AS patience) "  # noqa: S608  (the function is one of three of ours)
            f"SELECT set_config('lock_timeout', %s, true), {function}(%s), set_config('lock_timeout', patience, true) "
            "FROM before",
            [PATIENCE, key],
        )
