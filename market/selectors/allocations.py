"""Reads of allocations: what was bought and what is left of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.kernel.actor import Actor
from market.kernel.errors import NotFound
from market.kernel.money import MILLION


@dataclass(frozen=True)
class AllocationView:
    """This buyer may draw so many ST from this deployment in this window at this price."""

    id: UUID
    round_number: int
    product_id: UUID
    cell_id: UUID
    line: str
    line_name: str
    grade: str
    window_start: datetime
    window_end: datetime
    card_digest: str
    currency: str
    buyer_id: UUID
    seller_id: UUID
    buy_order_id: UUID
    sell_order_id: UUID
    deployment_id: UUID
    pool_id: UUID
    quantity_st: int
    price_micros: int
    hold_id: UUID
    created_at: datetime
    drawn_micro_st: int
    reserved_micro_st: int
    short_micro_st: int
    ended_micro_st: int
    cancelled_at: datetime | None
    reference_context: int

    @property
    def left_micro_st(self) -> int:
        """Micro-ST that can still be drawn: neither drawn, reserved, asked for in vain nor given up."""
        gone = self.drawn_micro_st + self.reserved_micro_st + self.short_micro_st + self.ended_micro_st
        return self.quantity_st * MILLION - gone

    @property
    def is_ahead(self) -> bool:
        """Bought before its window opened: then what is not drawn is paid all the same."""
        return self.created_at < self.window_start

    @property
    def cost_micros(self) -> int:
        """Micro-yuan of the whole allocation."""
        return self.quantity_st * self.price_micros // MILLION


_SELECT = """
    SELECT a.id, a.round_number, a.product_id, a.cell_id, l.slug, l.display_name, p.grade, p.window_start, p.window_end,
        l.card_digest, m.currency, a.buyer_id, a.seller_id, a.buy_order_id, a.sell_order_id, a.deployment_id, a.pool_id,
        a.quantity_st, a.price_micros, a.hold_id, a.created_at,
        coalesce(u.drawn_micro_st, 0), coalesce(u.reserved_micro_st, 0), coalesce(u.short_micro_st, 0),
        coalesce(u.ended_micro_st, 0), u.cancelled_at, l.reference_context
    FROM market_allocation a
    JOIN market_product p ON p.id = a.product_id
    JOIN market_modelline l ON l.id = p.line_id
    JOIN market_market m ON m.id = p.market_id
    LEFT JOIN market_allocationuse u ON u.allocation_id = a.id
"""


def allocations(
    actor: Actor, *, since: datetime | None = None, before: UUID | None = None, limit: int | None = None
) -> list[AllocationView]:
    """What the actor's organisation bought or sold, newest first; `since`: windows that end after this instant."""
    where: list[str] = ["(a.buyer_id = %s OR a.seller_id = %s)"]
    values: list[Any] = [actor.organisation_id, actor.organisation_id]
    if since is not None:
        where, values = [*where, "p.window_end > %s"], [*values, since]
    if before is not None:
        where, values = [*where, "a.id < %s"], [*values, before]
    return read_allocations(f"WHERE {' AND '.join(where)} ORDER BY a.id DESC LIMIT %s", [*values, limit])


def allocation(allocation_id: UUID) -> AllocationView:
    """One allocation, whoever has it.

    :raises NotFound: there is none.
    """
    found = allocations_many([allocation_id]).get(allocation_id)
    if found is None:
        raise NotFound("There is no such allocation.")
    return found


def allocations_many(allocation_ids: Collection[UUID]) -> dict[UUID, AllocationView]:
    """Those of these allocations that exist, by id."""
    return (
        {view.id: view for view in read_allocations("WHERE a.id = ANY(%s)", [list(allocation_ids)])}
        if allocation_ids
        else {}
    )


def product_fills(organisation_id: UUID, product_id: UUID) -> list[AllocationView]:
    """What a buyer bought of a product, in the order in which usage consumes it: by round, then by id."""
    return read_allocations(
        "WHERE a.buyer_id = %s AND a.product_id = %s ORDER BY a.round_number, a.id", [organisation_id, product_id]
    )


def of_order(order_id: UUID, actor: Actor) -> list[AllocationView]:
    """The allocations of one order of the actor's organisation, oldest first."""
    return read_allocations(
        "JOIN (SELECT product_id FROM market_order WHERE id = %s UNION SELECT product_id FROM market_orderchoice "
        "WHERE order_id = %s) AS named ON named.product_id = a.product_id "
        "JOIN market_order o ON o.id = %s WHERE o.organisation_id = %s "
        "AND (a.buyer_id = o.organisation_id AND a.buy_order_id = o.id "
        "OR a.seller_id = o.organisation_id AND a.sell_order_id = o.id) ORDER BY a.round_number, a.id",
        [order_id, order_id, order_id, actor.organisation_id],
    )


def drawable(organisation_id: UUID, line: str, *, now: datetime) -> list[AllocationView]:
    """What a buyer may draw of a line now, oldest round first."""
    return read_allocations(
        "WHERE a.buyer_id = %s AND l.slug = %s AND p.window_start <= %s AND p.window_end > %s "
        "ORDER BY a.round_number, a.id",
        [organisation_id, line, now, now],
    )


def read_allocations(tail: str, values: list[Any]) -> list[AllocationView]:
    """Allocations by the end of a query over a (allocation), p (product), l (line), m (market), u (use)."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_SELECT} {tail}", values)
        return [AllocationView(*row) for row in cursor.fetchall()]
