"""Reads of orders, always for one organisation."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.kernel.actor import Actor
from market.kernel.amending import Asked
from market.kernel.errors import NotFound
from market.kernel.money import MILLION
from market.kernel.orders import ANY_SCOPE, Choice, Scope
from market.models import OrderChoice, OrderScope

OPEN_STATES = ("open", "partially_filled", "pending_cancel")


@dataclass(frozen=True)
class OrderView:
    """One order and how it stands.

    What it asks is what it asks now, after its amendments; `placed` is what it asked first.
    `choices` and `scope` are those of a flexible bid; its limit is the highest of its choices'.
    `status`: open, partially_filled, pending_cancel (cancelled while its round was being cleared: what that leaves is
    given back), filled, cancelled, expired, refused. Prices are micro-yuan per million ST.
    """

    id: UUID
    organisation_id: UUID
    product_id: UUID
    side: str
    line: str
    line_name: str
    grade: str
    window_start: datetime
    window_end: datetime
    currency: str
    quantity_st: int
    limit_micros: int
    filled_st: int
    left_st: int
    paid_exact: int
    status: str
    time_in_force: str
    expires_at: datetime
    client_order_id: str | None
    hold_id: UUID | None
    supply_id: UUID | None
    cohort: int
    created_at: datetime
    ended_at: datetime | None
    amended_at: datetime | None
    worth_exact: int
    placed: Asked
    choices: tuple[Choice, ...] = ()
    scope: Scope = ANY_SCOPE

    @property
    def is_flexible(self) -> bool:
        """Whether it accepts several products or only some cells, or has a minimum."""
        return bool(self.choices) or self.scope != ANY_SCOPE

    @property
    def asked(self) -> Asked:
        """Quantity, limit and expiry as they hold now."""
        return Asked(self.quantity_st, self.limit_micros, self.expires_at)

    @property
    def is_open(self) -> bool:
        """Whether something of it still stands in the book."""
        return self.status in OPEN_STATES

    @property
    def is_cancellable(self) -> bool:
        """Whether it may still be changed or cancelled: of one that is being cancelled, its round decides."""
        return self.is_open and self.status != "pending_cancel"

    @property
    def average_micros(self) -> int | None:
        """Average price paid or received, rounded half up; None before the first fill."""
        return (2 * self.paid_exact + self.filled_st) // (2 * self.filled_st) if self.filled_st else None

    @property
    def paid_micros(self) -> int:
        """Micro-yuan of all fills."""
        return self.paid_exact // MILLION

    @property
    def saved_micros(self) -> int:
        """Micro-yuan that a filled bid stayed below the limit that held in each round."""
        return (self.worth_exact - self.paid_exact) // MILLION if self.side == "buy" else 0

    @property
    def held_micros(self) -> int:
        """Micro-yuan held for what is still open."""
        return self.limit_micros * self.left_st // MILLION if self.side == "buy" and self.is_open else 0


_SELECT = """
    SELECT o.id, o.organisation_id, o.product_id, CASE o.side WHEN 0 THEN 'buy' ELSE 'sell' END, l.slug, l.display_name,
        p.grade, p.window_start, p.window_end, m.currency, coalesce(a.quantity_st, o.quantity_st),
        coalesce(a.limit_micros, o.limit_micros), f.quantity,
        coalesce(b.quantity_left_st, 0), f.paid,
        CASE WHEN b.order_id IS NULL THEN e.reason WHEN b.ending = 'cancelled' THEN 'pending_cancel'
            WHEN f.quantity > 0 THEN 'partially_filled' ELSE 'open' END,
        o.time_in_force, coalesce(a.expires_at, o.expires_at), o.client_order_id, o.hold_id, o.supply_id,
        coalesce(a.cohort, o.cohort), o.created_at, e.at, a.created_at, f.worth,
        o.quantity_st, o.limit_micros, o.expires_at
    FROM market_order o
    JOIN market_product p ON p.id = o.product_id
    JOIN market_modelline l ON l.id = p.line_id
    JOIN market_market m ON m.id = o.market_id
    LEFT JOIN market_book b ON b.order_id = o.id
    LEFT JOIN market_orderend e ON e.order_id = o.id
    LEFT JOIN LATERAL (
        SELECT * FROM market_amendment WHERE order_id = o.id ORDER BY id DESC LIMIT 1
    ) a ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(g.quantity_st), 0)::bigint AS quantity,
            coalesce(sum(g.quantity_st::numeric * g.price_micros), 0) AS paid,
            coalesce(sum(g.quantity_st::numeric * coalesce(x.limit_micros, t.limit_micros, o.limit_micros)), 0) AS worth
        FROM market_fill g LEFT JOIN market_round r ON a.id IS NOT NULL AND r.id = g.round_id
        LEFT JOIN market_orderchoice x ON x.order_id = g.order_id
            AND x.product_id = (SELECT product_id FROM market_cell WHERE id = g.cell_id)
        LEFT JOIN LATERAL (
            SELECT limit_micros FROM market_amendment
            WHERE order_id = g.order_id AND round_number <= r.number ORDER BY id DESC LIMIT 1
        ) t ON true
        WHERE g.order_id = o.id
    ) f
"""


def orders(
    actor: Actor,
    *,
    open_only: bool = False,
    side: str | None = None,
    status: str | None = None,
    line: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[OrderView]:
    """The orders of the actor's organisation, newest first; `before` continues after the last one seen."""
    where: list[str] = ["o.organisation_id = %s"]
    values: list[Any] = [actor.organisation_id]
    if open_only:
        where.append("b.order_id IS NOT NULL")
    if side is not None:
        where, values = [*where, "o.side = %s"], [*values, 0 if side == "buy" else 1]
    if line is not None:
        where, values = [*where, "l.slug = %s"], [*values, line]
    if before is not None:
        where, values = [*where, "o.id < %s"], [*values, before]
    if status == "pending_cancel":
        where.append("b.ending = 'cancelled'")
    elif status in OPEN_STATES:
        where.append("b.order_id IS NOT NULL AND f.quantity " + ("= 0" if status == "open" else "> 0"))
    elif status is not None:
        where, values = [*where, "e.reason = %s"], [*values, status]
    return _read(f"WHERE {' AND '.join(where)} ORDER BY o.id DESC LIMIT %s", [*values, limit])


def order(order_id: UUID, actor: Actor) -> OrderView:
    """One order of the actor's organisation.

    :raises NotFound: there is none, or it belongs to somebody else.
    """
    found = _read("WHERE o.id = %s AND o.organisation_id = %s", [order_id, actor.organisation_id])
    if not found:
        raise NotFound("There is no such order.")
    return found[0]


def orders_many(order_ids: Collection[UUID]) -> dict[UUID, OrderView]:
    """Orders by id, whoever owns them: for providers, which know the orders that they placed."""
    return {view.id: view for view in _read("WHERE o.id = ANY(%s)", [list(order_ids)])}


def by_client_id(organisation_id: UUID, client_order_ids: Collection[str]) -> dict[str, OrderView]:
    """Orders of an organisation by their client order id."""
    found = _read(
        "WHERE o.organisation_id = %s AND o.client_order_id = ANY(%s)", [organisation_id, list(client_order_ids)]
    )
    return {view.client_order_id: view for view in found if view.client_order_id is not None}


def open_count(actor: Actor) -> int:
    """How many orders of the actor's organisation may still be cancelled: open ones, but those being ended."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM market_book WHERE organisation_id = %s AND ending IS NULL", [actor.organisation_id]
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def count(actor: Actor) -> int:
    """How many orders the actor's organisation ever placed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM market_order WHERE organisation_id = %s", [actor.organisation_id])
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def best_opposites(organisation_ids: Collection[UUID], product_ids: Collection[UUID]) -> dict[tuple[UUID, UUID], tuple]:  # type: ignore[type-arg]
    """By (organisation, product): its highest open bid and its lowest open offer, None where it has none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT organisation_id, product_id, max(limit_micros) FILTER (WHERE side = 0), "
            "min(limit_micros) FILTER (WHERE side = 1) FROM ("
            "SELECT organisation_id, product_id, limit_micros, side FROM market_book "
            "WHERE organisation_id = ANY(%s) AND product_id = ANY(%s) AND ending IS NULL UNION ALL "
            "SELECT b.organisation_id, c.product_id, c.limit_micros, b.side FROM market_book b "
            "JOIN market_orderchoice c ON c.order_id = b.order_id "
            "WHERE b.organisation_id = ANY(%s) AND c.product_id = ANY(%s) AND b.ending IS NULL) AS own GROUP BY 1, 2",
            [list(organisation_ids), list(product_ids)] * 2,
        )
        return {(owner, product): (bid, offer) for owner, product, bid, offer in cursor.fetchall()}


def open_on_supplies(supply_ids: Collection[UUID]) -> dict[UUID, int]:
    """ST in open offers on each of these supplies."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT supply_id, sum(quantity_left_st)::bigint FROM market_book WHERE supply_id = ANY(%s) GROUP BY 1",
            [list(supply_ids)],
        )
        return dict(cursor.fetchall())


def _read(tail: str, values: list[Any]) -> list[OrderView]:
    with connection.cursor() as cursor:
        cursor.execute(f"{_SELECT} {tail}", values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    wishes = _wishes([row[0] for row in rows])
    # The exact sums come as numeric.
    views = [OrderView(*(*row[:14], int(row[14]), *row[15:25], int(row[25]), Asked(*row[26:]))) for row in rows]
    return [
        replace(view, choices=wishes[view.id][0], scope=wishes[view.id][1]) if view.id in wishes else view
        for view in views
    ]


def _wishes(order_ids: list[UUID]) -> dict[UUID, tuple[tuple[Choice, ...], Scope]]:
    """Choices and scope of those of the orders that are flexible."""
    scopes = list(OrderScope.objects.filter(order_id__in=order_ids)) if order_ids else []
    if not scopes:
        return {}
    choices: dict[UUID, list[Choice]] = {scope.order_id: [] for scope in scopes}
    named = OrderChoice.objects.filter(order_id__in=list(choices)).values_list(
        "order_id", "product__line__slug", "product__window_start", "limit_micros", "product__grade",
        "order__product__grade",
    )  # fmt: skip
    for order_id, line, window_start, limit, grade, own in named:
        choices[order_id].append(Choice(line, window_start, limit, "" if grade == own else grade))
    return {
        one.order_id: (
            tuple(sorted(choices[one.order_id])),
            Scope(
                vendors=frozenset(one.vendors),
                regions=frozenset(one.regions),
                tiers=frozenset(one.tiers),
                minimum_st=one.minimum_st,
                data_terms=frozenset(one.data_terms),
            ),
        )
        for one in scopes
    }
