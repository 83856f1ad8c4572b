"""The open orders of a market as columns: read by binary COPY, without a Python object per order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from market.kernel import binary, windows
from market.kernel.coupling import Wish
from market.kernel.freezing import BID, OFFER, Ints, Mask, Standing, deliverable_st, within_supply
from market.kernel.orders import DATA_TERMS
from market.models import Cell
from market.selectors.catalogue import ProductView, products_many
from market.selectors.halts import stopped

Uuids = NDArray[np.void]

_BOTH = {
    "order": "uuid", "owner": "uuid", "product": "uuid", "limit": "int8", "left": "int8", "cohort": "int8",
    "sequence": "int8", "next_round_only": "bool",
}  # fmt: skip
_BIDS = {**_BOTH, "hold": "uuid"}
_OFFERS = {
    **_BOTH, "strict": "bool", "cell": "uuid", "supply": "uuid", "deployment": "uuid", "pool": "uuid", "group": "uuid",
    "rate": "int8", "offered": "int8", "sold": "int8", "due": "int8",
}  # fmt: skip
_OF_BOOK = (
    "b.order_id, b.organisation_id, b.product_id, b.limit_micros, b.quantity_left_st, b.cohort, b.sequence, "
    "b.next_round_only"
)
_WHERE = (
    "b.market_id = %s AND b.expires_at > %s AND b.cohort <= coalesce(%s, b.cohort) "
    "AND (%s::uuid[] IS NULL OR b.product_id = ANY(%s::uuid[])) "
    "AND b.organisation_id <> ALL(%s::uuid[]) AND (b.product_id <> ALL(%s::uuid[]){})"
)
# A flexible bid whose own product sits out may still buy another of its choices.
_OR_CHOICE = " OR EXISTS (SELECT FROM market_orderchoice x WHERE x.order_id = b.order_id)"
_READ_BIDS = (
    f"COPY (SELECT {_OF_BOOK}, b.hold_id FROM market_book b WHERE b.side = 0 AND {_WHERE.format(_OR_CHOICE)}) "
    "TO STDOUT (FORMAT binary)"
)
_READ_OFFERS = (
    f"COPY (SELECT {_OF_BOOK}, c.data_terms = '{DATA_TERMS[0]}', b.cell_id, b.supply_id, s.deployment_id, s.pool_id, "
    "s.exclusive_group, "
    "s.rate_st_per_second, s.offered_st, s.sold_st, s.due_micro_st_per_second "
    "FROM market_book b JOIN market_supply s ON s.id = b.supply_id JOIN market_cell c ON c.id = b.cell_id "
    f"WHERE b.side = 1 AND {_WHERE.format('')}) "
    "TO STDOUT (FORMAT binary)"
)
_OPEN = "JOIN market_book b ON b.order_id = {0}.order_id WHERE b.market_id = %s AND b.expires_at > %s"
_READ_CHOICES = f"SELECT c.order_id, c.product_id, c.limit_micros FROM market_orderchoice c {_OPEN.format('c')}"
_READ_SCOPES = (
    "SELECT s.order_id, b.product_id, b.limit_micros, s.minimum_st, s.vendors, s.regions, s.tiers, s.data_terms "
    f"FROM market_orderscope s {_OPEN.format('s')}"
)


@dataclass(frozen=True)
class FrozenBook:
    """Open orders, bids first; columns of equal length. Columns of offers only are zero for bids, and the reverse.

    `product` numbers `products`; `left` is what stands in the book, `available` what may trade now: an offer only
    what its supply can still deliver. `strict` marks offers under the strictest data terms. `wishes` are those of
    flexible bids, by row; the limit of such a row is the highest of its limits, for which its money is held.
    """

    products: tuple[ProductView, ...]
    order: Uuids
    owner: Uuids
    product: Ints
    side: Ints
    limit: Ints
    left: Ints
    available: Ints
    cohort: Ints
    sequence: Ints
    next_round_only: Mask
    strict: Mask
    hold: Uuids
    cell: Uuids
    supply: Uuids
    deployment: Uuids
    pool: Uuids
    group: Uuids
    wishes: Mapping[int, Wish] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.order)

    def wish(self, row: int) -> Wish:
        """What a row accepts; of an order that is not flexible its product at its limit."""
        return self.wishes.get(row) or Wish({int(self.product[row]): int(self.limit[row])})

    @property
    def owner_codes(self) -> Ints:
        """The organisations, numbered."""
        return binary.codes(self.owner)[0] if len(self) else np.zeros(0, dtype=np.int64)


def frozen_book(
    market_id: UUID,
    *,
    now: datetime,
    product_ids: Collection[UUID] | None = None,
    round_number: int | None = None,
) -> FrozenBook:
    """All open orders of the market at `now`, or those of some products; what is halted is left out.

    With a round's number what came too late for that round is left out too.
    """
    out = stopped(now=now)
    some = None if product_ids is None else list(product_ids)
    bids, offers = (
        binary.decode(
            _copy(sql, [market_id, now, round_number, some, some, out.organisation_ids, out.product_ids]), columns
        )
        for sql, columns in ((_READ_BIDS, _BIDS), (_READ_OFFERS, _OFFERS))
    )
    codes, ids = binary.codes(np.concatenate([bids["product"], offers["product"]]))
    views = products_many(binary.to_uuids(ids))
    products = tuple(views[one] for one in binary.to_uuids(ids))
    count = len(bids["left"])
    available = np.concatenate([bids["left"], _deliverable(offers, codes[count:], products, now)])

    def column(name: str) -> NDArray[np.generic]:
        present = next(part[name] for part in (bids, offers) if name in part)
        return np.concatenate(
            [part[name] if name in part else np.zeros(len(part["left"]), present.dtype) for part in (bids, offers)]
        )

    names = (*_BOTH.keys() - {"product"}, "strict", "hold", "cell", "supply", "deployment", "pool", "group")
    side = np.repeat(np.array([BID, OFFER], dtype=np.int64), [count, len(offers["left"])])
    columns: dict[str, Any] = {name: column(name) for name in names}
    numbers = {one.id: code for code, one in enumerate(products)}
    lax = set(codes[count:][~offers["strict"]].tolist())
    wishes = _wishes(market_id, columns["order"][:count], numbers, lax, now)
    if lax:
        _keep_strict(wishes, codes[:count], bids["limit"], numbers, lax)
    return FrozenBook(products, product=codes, side=side, available=available, wishes=wishes, **columns)


def _wishes(
    market_id: UUID, bids: Uuids, numbers: Mapping[UUID, int], lax: Collection[int], now: datetime
) -> dict[int, Wish]:
    """What the flexible bids accept, by row; products in which nothing stands are left out."""
    with connection.cursor() as cursor:
        cursor.execute(_READ_CHOICES, [market_id, now])
        choices = cursor.fetchall()
        cursor.execute(_READ_SCOPES, [market_id, now])
        scopes = cursor.fetchall()
    if not scopes:
        return {}
    rows = {order: row for row, order in enumerate(binary.to_uuids(bids))}
    limits: dict[int, dict[int, int]] = {rows[order]: {} for order, *_ in scopes if order in rows}
    for order, product, limit in choices:
        if order in rows and product in numbers:
            limits[rows[order]][numbers[product]] = limit
    cells = _cells(numbers)
    wishes = {}
    for order, product, limit, minimum, *filters in scopes:
        if order not in rows:
            continue
        own = limits[rows[order]] or {numbers[product]: limit}  # one product only: no choices beside it
        tells_apart = any(filters[:-1]) or not own.keys().isdisjoint(lax)
        let_in = frozenset(cell for cell, *said in cells if _suits(said, filters)) if tells_apart else None
        wishes[rows[order]] = Wish(own, let_in, minimum)
    return wishes


def _keep_strict(
    wishes: dict[int, Wish], product: Ints, limit: Ints, numbers: Mapping[UUID, int], lax: Collection[int]
) -> None:
    """Bids that say nothing of data terms get the strictest only, where their product has others on offer too."""
    strict = frozenset(cell for cell, *_, terms in _cells(numbers) if terms == DATA_TERMS[0])
    for row in np.flatnonzero(np.isin(product, list(lax))).tolist():
        if row not in wishes:
            wishes[row] = Wish({int(product[row]): int(limit[row])}, strict)


def _suits(said: Sequence[str], filters: Sequence[Sequence[str]]) -> bool:
    return all(not wanted or value in wanted for value, wanted in zip(said, filters, strict=True))


def _cells(numbers: Mapping[UUID, int]) -> list[tuple[bytes, str, str, str, str]]:
    """(bytes of the id, vendor, region, tier, data terms) of every cell of these products."""
    rows = Cell.objects.filter(product_id__in=list(numbers)).values_list("id", "vendor", "region", "tier", "data_terms")
    return [(cell.bytes, vendor, region, tier, terms) for cell, vendor, region, tier, terms in rows]


def standing(book: FrozenBook) -> list[Standing]:
    """The deployments whose open offers can deliver something, once for each group of chips and window."""
    rows = np.flatnonzero((book.side == OFFER) & (book.available > 0))
    found: set[Standing] = set()
    if len(rows):
        supply, _ = binary.codes(book.supply[rows])
        first = rows[np.unique(supply, return_index=True)[1]]
        for row in first:
            found.add(_standing_at(book, int(row)))
    return sorted(found, key=lambda one: (one.group, one.deployment))


def standing_of(book: FrozenBook, standing: Sequence[Standing]) -> Ints:
    """For each row the position of its deployment among `standing`; -1 for bids and offers that can deliver nothing."""
    at = np.full(len(book), -1, dtype=np.int64)
    rows = np.flatnonzero((book.side == OFFER) & (book.available > 0))
    if len(rows):
        number = {one: position for position, one in enumerate(standing)}
        supply, _ = binary.codes(book.supply[rows])
        first = rows[np.unique(supply, return_index=True)[1]]
        at[rows] = np.array([number.get(_standing_at(book, int(row)), -1) for row in first], dtype=np.int64)[supply]
    return at


def _standing_at(book: FrozenBook, row: int) -> Standing:
    window = book.products[book.product[row]].window_start.isoformat().encode()
    return Standing(book.group[row].tobytes() + window, book.deployment[row].tobytes())


def pinned(*, now: datetime) -> dict[bytes, bytes]:
    """By group of chips and window: the deployment that has sold there already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT ON (exclusive_group, window_start) exclusive_group, window_start, deployment_id "
            "FROM market_supply WHERE sold_st > 0 AND window_start >= %s "
            "ORDER BY exclusive_group, window_start, deployment_id",
            [windows.current(now)[0]],
        )
        rows = cursor.fetchall()
    return {group.bytes + start.isoformat().encode(): deployment.bytes for group, start, deployment in rows}


def _deliverable(
    offers: binary.Columns, product: Ints, products: tuple[ProductView, ...], now: datetime
) -> NDArray[np.int64]:
    if not len(product):
        return np.zeros(0, dtype=np.int64)
    supply, _ = binary.codes(offers["supply"])
    first = np.unique(supply, return_index=True)[1]
    seconds = [windows.seconds_left(one.window_start, now) for one in products]
    deliverable = [
        deliverable_st(
            offered=int(offers["offered"][row]),
            sold=int(offers["sold"][row]),
            rate=int(offers["rate"][row]),
            due_micro=int(offers["due"][row]),
            seconds=seconds[product[row]],
            lot=products[product[row]].lot_st,
        )
        for row in first
    ]
    return within_supply(offers["left"], supply, offers["sequence"], np.array(deliverable, dtype=np.int64))


def _copy(sql: str, parameters: list[object]) -> bytes:
    with connection.cursor() as cursor, cursor.copy(sql, parameters) as copy:
        return b"".join(copy)
