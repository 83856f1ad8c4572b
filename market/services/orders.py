"""Orders in and out of the book."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.services import audit
from ledger import services as ledger
from ledger.services import HoldChange, HoldDraft
from market import locks, selectors
from market.kernel import orders as rules
from market.kernel.errors import (
    DuplicateClientOrderId,
    MarketHalted,
    NoSupply,
    OrderEnded,
    OutsideCollar,
    SelfTrade,
)
from market.kernel.money import cost_micros
from market.kernel.orders import OrderDraft
from market.models import Book, Market, Order, Supply
from market.selectors import MarketState, OrderView, ProductView, Quote
from market.services import faults, flexible, halts
from market.services.flexible import Accepted
from market.services.preview import Preview, preview
from market.services.products import product_for

__all__ = ["Preview", "cancel", "cancel_all", "end", "place", "place_many", "preview"]

Pair = tuple[UUID, UUID]


def place(draft: OrderDraft, *, actor: Actor | None, now: datetime) -> OrderView:
    """Put an order into the open round, with its money held or its capacity behind it.

    A repeated client order id gives the first order again. Without an actor the
    platform itself places it: the collar then clips the limit at the round
    instead of refusing it here.

    :raises MarketError: see market/kernel/errors.py; nothing was written.
    :raises ledger.services.InsufficientFunds: the wallet does not cover the worst case.
    """
    return place_many([draft], actor=actor, now=now)[0]


def place_many(drafts: Sequence[OrderDraft], *, actor: Actor | None, now: datetime) -> list[OrderView]:
    """Place all of these orders or none, in their order.

    :raises MarketError, ledger.services.InsufficientFunds: as `place`.
    """
    if actor is not None:
        assert all(draft.organisation_id == actor.organisation_id for draft in drafts), "an actor acts for its own"
    market_id = selectors.market_id()
    with transaction.atomic():
        locks.intake(market_id)
        market = selectors.market_by_id(market_id)
        owners = {draft.organisation_id for draft in drafts}
        locks.organisations(owners)
        earlier = _earlier(drafts)
        fresh = [draft for draft in drafts if _key(draft) not in earlier]
        made = _Intake(market, actor, now).place(fresh) if fresh else []
        views = selectors.orders_many([order.id for order in made])
        placed = iter(made)
        return [earlier[_key(draft)] if _key(draft) in earlier else views[next(placed).id] for draft in drafts]


def _key(draft: OrderDraft) -> tuple[UUID, str | None]:
    return draft.organisation_id, draft.client_order_id


def _earlier(drafts: Sequence[OrderDraft]) -> dict[tuple[UUID, str | None], OrderView]:
    """Orders that these drafts repeat, by organisation and client order id."""
    named: dict[UUID, dict[str, OrderDraft]] = defaultdict(dict)
    for draft in drafts:
        if draft.client_order_id is None:
            continue
        if draft.client_order_id in named[draft.organisation_id]:
            raise DuplicateClientOrderId("Two orders of this request have the same client order id.")
        named[draft.organisation_id][draft.client_order_id] = draft
    found: dict[tuple[UUID, str | None], OrderView] = {}
    for owner, by_id in named.items():
        for client_id, view in selectors.by_client_id(owner, list(by_id)).items():
            if _content(by_id[client_id]) != _content_of(view):
                raise DuplicateClientOrderId("This client order id was used before for another order.")
            found[(owner, client_id)] = view
    return found


def _content(draft: OrderDraft) -> tuple[object, ...]:
    return (
        draft.side, draft.line, draft.grade, draft.window_start, draft.quantity_st, draft.limit_micros,
        draft.time_in_force, rules.expires_at(draft), draft.supply_id, (_named(draft), draft.scope),
    )  # fmt: skip


def _named(draft: OrderDraft) -> tuple[rules.Choice, ...]:
    """The choices as a view has them: the order's own grade goes without saying."""
    return tuple(sorted(replace(one, grade="") if one.grade == draft.grade else one for one in draft.choices))


def _content_of(view: OrderView) -> tuple[object, ...]:
    return (
        view.side, view.line, view.grade, view.window_start, view.placed.quantity_st, view.placed.limit_micros,
        view.time_in_force, view.placed.expires_at, view.supply_id, (view.choices, view.scope),
    )  # fmt: skip


@dataclass
class _Intake:
    """One request's orders on their way into the book; the locks are held."""

    market: MarketState
    actor: Actor | None
    now: datetime

    def place(self, drafts: Sequence[OrderDraft]) -> list[Order]:
        check_open(self.market)
        halts.check(
            organisation_ids={draft.organisation_id for draft in drafts},
            lines={line for draft in drafts for line in (draft.line, *(choice.line for choice in draft.choices))},
            now=self.now,
        )
        products = self._products(drafts)
        flexible.check_vocabulary(drafts)
        accepted = [
            flexible.accepted(draft, self.market.id, own=product, now=self.now)
            for draft, product in zip(drafts, products, strict=True)
        ]
        faults.check({product.id for chosen in accepted for product, _ in chosen})
        self._check_rules(drafts, accepted)
        self._check_self_trade(drafts, accepted)
        supplies = self._check_supply(drafts, products)
        made = self._make(drafts, products, supplies)
        self._hold(made)
        _store(made)
        flexible.store(made, drafts, accepted)
        self._audit(made)
        return made

    def _products(self, drafts: Sequence[OrderDraft]) -> list[ProductView]:
        found: dict[tuple[UUID, str, str, datetime], ProductView] = {}
        for draft in drafts:
            rules.check_window(draft.window_start, self.now)
            key = (draft.organisation_id, draft.line, draft.grade, draft.window_start)
            if key not in found:
                found[key] = product_for(
                    self.market.id, draft.line, draft.grade, draft.window_start,
                    organisation_id=draft.organisation_id, now=self.now,
                )  # fmt: skip
        return [found[draft.organisation_id, draft.line, draft.grade, draft.window_start] for draft in drafts]

    def _check_rules(self, drafts: Sequence[OrderDraft], accepted: Sequence[Accepted]) -> None:
        products = {product.id: product for chosen in accepted for product, _ in chosen}
        quotes = selectors.quotes(products.values(), now=self.now)
        for draft, chosen in zip(drafts, accepted, strict=True):
            rules.check_draft(draft, chosen[0][0].terms, now=self.now)
            if self.actor is None:
                continue
            for product, limit in chosen:
                check_collar(replace(draft, limit_micros=limit), quotes[product.id])

    def _check_self_trade(self, drafts: Sequence[OrderDraft], accepted: Sequence[Accepted]) -> None:
        best = selectors.best_opposites(
            {draft.organisation_id for draft in drafts}, {product.id for chosen in accepted for product, _ in chosen}
        )
        for draft, chosen in zip(drafts, accepted, strict=True):
            for product, limit in chosen:
                key = (draft.organisation_id, product.id)
                bid, offer = best.get(key, (None, None))
                if draft.side == "buy":
                    crosses = offer is not None and limit >= offer
                    bid = limit if bid is None else max(bid, limit)
                else:
                    crosses = bid is not None and limit <= bid
                    offer = limit if offer is None else min(offer, limit)
                if crosses:
                    raise SelfTrade("This order would trade with an open order of your own organisation.")
                best[key] = (bid, offer)

    def _check_supply(self, drafts: Sequence[OrderDraft], products: Sequence[ProductView]) -> dict[UUID, Supply]:
        wanted = {draft.supply_id for draft in drafts if draft.supply_id is not None}
        if not wanted:
            return {}
        supplies = locks.supplies(wanted)
        promised = selectors.open_on_supplies(wanted)
        for draft, product in zip(drafts, products, strict=True):
            if draft.supply_id is None:
                continue
            supply = supplies.get(draft.supply_id)
            if (
                supply is None
                or supply.organisation_id != draft.organisation_id
                or supply.cell.product_id != product.id
            ):
                raise NoSupply("There is no such capacity for this line, grade and window.")
            promised[supply.id] = promised.get(supply.id, 0) + draft.quantity_st
            if promised[supply.id] > supply.offered_st - supply.sold_st:
                raise NoSupply("This is more than the declared capacity that is not sold or offered yet.")
        return supplies

    def _make(
        self, drafts: Sequence[OrderDraft], products: Sequence[ProductView], supplies: dict[UUID, Supply]
    ) -> list[Order]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('market_order_sequence') FROM generate_series(1, %s)", [len(drafts)])
            sequences = [row[0] for row in cursor.fetchall()]
        placed_by = (self.actor.user_id or self.actor.key_id) if self.actor else None
        return [
            Order(
                id=ids.new(),
                market_id=self.market.id,
                organisation_id=draft.organisation_id,
                product_id=product.id,
                cell_id=supplies[draft.supply_id].cell_id if draft.supply_id else None,
                supply_id=draft.supply_id,
                side=Order.Side.BUY if draft.side == "buy" else Order.Side.SELL,
                quantity_st=draft.quantity_st,
                limit_micros=draft.limit_micros,
                time_in_force=draft.time_in_force,
                expires_at=rules.expires_at(draft),
                client_order_id=draft.client_order_id,
                sequence=sequence,
                cohort=self.market.collecting,
                placed_by=placed_by,
                created_at=self.now,
            )
            for draft, product, sequence in zip(drafts, products, sequences, strict=True)
        ]

    def _hold(self, orders: Sequence[Order]) -> None:
        """Hold each bid's worst case in its organisation's wallet."""
        bids = [order for order in orders if order.side == Order.Side.BUY]
        if not bids:
            return
        wallets = {
            owner: ledger.open_account(organisation_id=owner, kind="wallet", currency=self.market.currency)
            for owner in {order.organisation_id for order in bids}
        }
        holds = ledger.place_holds(
            [
                HoldDraft(
                    key=f"order:{order.id}",
                    account_id=wallets[order.organisation_id],
                    amount_micros=cost_micros(order.limit_micros, order.quantity_st),
                )
                for order in bids
            ],
            now=self.now,
        )
        for order, hold_id in zip(bids, holds, strict=True):
            order.hold_id = hold_id

    def _audit(self, orders: Sequence[Order]) -> None:
        if self.actor is None:
            return
        detail = {"orders": len(orders)} if len(orders) > 1 else {}
        subject = ids.encode("ord", orders[0].id)
        audit.record(actor=self.actor, action="order.placed", subject=subject, detail=detail, now=self.now)


def check_open(market: MarketState) -> None:
    """Refuse what comes into a market that is not open.

    :raises MarketHalted: only cancelling goes on.
    """
    if market.state != Market.State.OPEN:
        raise MarketHalted("The market is halted. Open orders may be cancelled.")


def check_collar(draft: OrderDraft, quote: Quote) -> None:
    """Refuse a bid above the collar and an offer below it.

    :raises OutsideCollar: `details` give the bound that counts, in micro-yuan per million ST.
    """
    if quote.collar is None:
        return
    if draft.side == "buy" and draft.limit_micros > quote.collar.high:
        raise OutsideCollar("The limit is above the collar.", highest_micros=quote.collar.high)
    if draft.side == "sell" and draft.limit_micros < quote.collar.low:
        raise OutsideCollar("The limit is below the collar.", lowest_micros=quote.collar.low)


def _store(orders: Sequence[Order]) -> None:
    Order.objects.bulk_create(orders, batch_size=5_000)
    Book.objects.bulk_create(
        [
            Book(
                order_id=order.id,
                market_id=order.market_id,
                product_id=order.product_id,
                organisation_id=order.organisation_id,
                side=order.side,
                limit_micros=order.limit_micros,
                quantity_left_st=order.quantity_st,
                cohort=order.cohort,
                sequence=order.sequence,
                next_round_only=order.time_in_force == Order.TimeInForce.IOC,
                expires_at=order.expires_at,
                hold_id=order.hold_id,
                supply_id=order.supply_id,
                cell_id=order.cell_id,
            )
            for order in orders
        ],
        batch_size=5_000,
    )


def cancel(order_id: UUID, *, actor: Actor, now: datetime) -> OrderView:
    """Take what is left of an order out of the book and give its hold back.

    Of an order whose round is being cleared (`pending_cancel`) that is done with what the round leaves. Cancelling twice
    gives the same answer.

    :raises NotFound: not an order of the actor's organisation.
    :raises OrderEnded: it was filled, or ended in another way, before.
    """
    view = selectors.order(order_id, actor)
    with transaction.atomic():
        market = market_to_change_orders(selectors.market_id(view.currency))
        where, values = "order_id = %s AND organisation_id = %s", [order_id, actor.organisation_id]
        ended = end(market, where, values, "cancelled", now=now)
        if ended:
            subject = ids.encode("ord", order_id)
            audit.record(actor=actor, action="order.cancelled", subject=subject, detail={}, now=now)
        after = selectors.order(order_id, actor)
    if not ended and after.status not in {"cancelled", "pending_cancel"}:
        raise OrderEnded(f"This order is not open any more: it is {after.status}.", status=after.status)
    return after


def cancel_all(*, actor: Actor, now: datetime, side: str | None = None) -> int:
    """Cancel every open order of the actor's organisation, or its bids or offers only; gives how many there were."""
    with transaction.atomic():
        market = market_to_change_orders(selectors.market_id())
        where = "market_id = %s AND organisation_id = %s"
        values: list[Any] = [market.id, actor.organisation_id]
        if side is not None:
            where, values = f"{where} AND side = %s", [*values, 0 if side == "buy" else 1]
        ended = end(market, where, values, "cancelled", now=now)
        if ended:
            audit.record(actor=actor, action="orders.cancelled", subject="all", detail={"orders": ended}, now=now)
    return ended


def market_to_change_orders(market_id: UUID) -> MarketState:
    """The market as it stands once open orders may be changed: no round is frozen or written until the transaction ends."""
    locks.changes(market_id)
    return selectors.market_by_id(market_id)


def end(market: MarketState, where: str, values: Sequence[Any], reason: str, *, now: datetime) -> int:
    """Take orders out of the book for a reason and release their holds; gives how many. The changes are locked.

    Those of a round that is being cleared are marked, and end with what it leaves of them. A halted market clears none.
    """
    assert connection.in_atomic_block
    last_frozen = market.collecting - 1 if market.is_clearing and market.state == Market.State.OPEN else 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE market_book SET ending = %s WHERE {where} AND ending IS NULL AND cohort <= %s",  # noqa: S608
            [reason, *values, last_frozen],
        )
        marked = int(cursor.rowcount)
    return marked + _end_now(f"{where} AND cohort > %s", [*values, last_frozen], "%s", [reason], now=now)


def end_marked(market_id: UUID, *, now: datetime) -> int:
    """End the orders that were to end with the round that was being cleared. The book is locked."""
    return _end_now("market_id = %s AND ending IS NOT NULL", [market_id], "ending", [], now=now)


def _end_now(where: str, values: Sequence[Any], reason: str, reasons: Sequence[str], *, now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH gone AS (DELETE FROM market_book WHERE {where} "  # noqa: S608
            f"RETURNING order_id, quantity_left_st, hold_id, {reason} AS reason), "
            "ended AS (INSERT INTO market_orderend (order_id, reason, unfilled_st, at) "
            "SELECT order_id, reason, quantity_left_st, %s FROM gone) SELECT order_id, hold_id FROM gone",
            [*values, *reasons, now],
        )
        gone = cursor.fetchall()
    releases = [
        HoldChange(key=f"order:{order_id}:end", hold_id=hold_id, action="release", amount_micros=None)
        for order_id, hold_id in gone
        if hold_id is not None
    ]
    if releases:
        ledger.change_holds(releases, now=now)
    return len(gone)
