"""From a frozen book to everything that a round says: prices, fills, and who gets whose tokens."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
import structlog

from market.kernel.collar import stands_at_edge
from market.kernel.freezing import BID, OFFER, Ints, Mask, Standing, self_trades
from market.kernel.levels import Level, cumulative, levels
from market.kernel.money import MILLION
from market.kernel.pairing import Pairs, pair
from market.kernel.seeds import ties_of
from market.matching_engine import Book, Result, clear, clip
from market.matching_engine.components import clear_component
from market.matching_engine.coupled import Component
from market.matching_engine.coupled import Outcome as ComponentOutcome
from market.models.orders import MAX_PRICE_MICROS
from market.selectors import FrozenBook, ProductView, Quote
from market.services import exclusive
from market.services.coupling import Coupled, Part, fills_by_cell, part_of, tied
from market.services.sealing import Name, Sealed, seal

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CellPrice:
    """What a cell of a product traded at, where bids tell its cells apart; `cell` is the bytes of its id."""

    cell: bytes
    price_micros: int
    low_micros: int
    high_micros: int
    volume_st: int


@dataclass(frozen=True)
class Cleared:
    """What the engine said of one product; prices in micro-yuan per million ST, quantities in ST.

    Where its cells traded apart, `cells` has their prices, the product's price is
    the mean by volume, rounded down to the tick, and its interval holds all of theirs.
    """

    product: ProductView
    code: int
    quote: Quote
    price_micros: int | None
    low_micros: int | None
    high_micros: int | None
    volume_st: int
    welfare: int
    indicative_micros: int | None
    collar_hit: bool
    bids: int
    offers: int
    curve: dict[str, list[Level]]
    cells: tuple[CellPrice, ...] = ()


@dataclass(frozen=True)
class Plain:
    """A product cleared alone: what its certificate is made from. Limits are clipped, quantities and fills in lots."""

    code: int
    rows: Ints
    limits: Ints
    result: Result


@dataclass(frozen=True)
class Fault:
    """Rows that could not be cleared, and why; they stand as they did. `code`: the product that failed alone.

    Without a code it is the flexible bids of a component: its products are then cleared without them.
    """

    code: int | None
    rows: Ints
    reason: str


@dataclass(frozen=True)
class Outcome:
    """All of one round. Columns follow the book's rows; `price` is what an offer sold at, 0 where it sold nothing."""

    book: FrozenBook
    taking_part: Mask
    sealed: Sealed
    fill: Ints
    ended: Mask
    price: Ints
    pairs: Pairs
    cleared: tuple[Cleared, ...]
    printed: tuple[Plain | Coupled, ...]
    faults: tuple[Fault, ...]
    engine_micros: int

    def cost(self, rows: Ints, price: Ints, quantity: Ints) -> Ints:
        """Micro-yuan of quantities at prices; exact and within 63 bits: counted in ticks × lots."""
        return cost(self.book, rows, price, quantity)

    def hold_until(self, product: ProductView, grace_seconds: int) -> datetime:
        """When the hold of an allocation of this product is given back at the latest."""
        return product.window_end + timedelta(seconds=grace_seconds)


def cost(book: FrozenBook, rows: Ints, price: Ints, quantity: Ints) -> Ints:
    """See `Outcome.cost`; `rows` tell the products."""
    products = book.product[rows]
    tick = np.array([product.tick_micros for product in book.products] or [1], dtype=np.int64)
    lot = np.array([product.lot_st for product in book.products] or [1], dtype=np.int64)
    value = tick * lot // MILLION
    total: Ints = (price // tick[products]) * (quantity // lot[products]) * value[products]
    return total


@dataclass
class _Sheet:
    """What the products of a round write into, one after the other."""

    book: FrozenBook
    quotes: Mapping[UUID, Quote]
    tie: Sequence[bytes]
    fill: Ints
    price: Ints
    cleared: list[Cleared]
    pairs: list[Pairs]
    printed: list[Plain | Coupled]
    faults: list[Fault]
    engine_nanos: int = 0

    def attempt(self, code: int | None, rows: Ints, step: Callable[[], None]) -> bool:
        """Do a step for some rows; where it fails, nothing of it stays, and the others go on. Gives whether it was done."""
        lists: tuple[list[Any], ...] = (self.cleared, self.pairs, self.printed)
        lengths = [len(one) for one in lists]
        try:
            step()
        except Exception as error:  # whatever it is: it concerns these products only
            log.exception("market.component.failed", product=None if code is None else str(self.book.products[code].id))
            for one, length in zip(lists, lengths, strict=True):
                del one[length:]
            self.fill[rows] = self.price[rows] = 0
            blamed = rows if code is not None else rows[np.isin(rows, list(self.book.wishes))]
            reason = str(error) if isinstance(error, ComponentFailed) else f"{type(error).__name__}: {error}"
            self.faults.append(Fault(code, blamed, reason))
            return False
        return True

    def plain(self, code: int, rows: Ints) -> None:
        """Clear one product alone: all bids take all its cells, so it is one pooled book."""
        book, product = self.book, self.book.products[code]
        quote = self.quotes[product.id]
        engine_book = _engine_book(book, rows, product, quote, self.tie)
        began = time.perf_counter_ns()
        result = clear(engine_book)
        self.engine_nanos += time.perf_counter_ns() - began
        self.fill[rows] = result.fill * product.lot_st
        self.cleared.append(_cleared(book, rows, code, quote, result))
        if result.volume:
            self.price[rows[book.side[rows] == OFFER]] = result.price or 0
            self.pairs.append(_pairs(rows, self.fill[rows], book.side[rows], self.tie))
            self.printed.append(Plain(code, rows, clip(engine_book, engine_book.price), result))

    def together(
        self, codes: Collection[int], rows: Ints, part: Part | Exception, outcome: ComponentOutcome | Exception
    ) -> None:
        """What products that flexible bids join, or whose cells they tell apart, came to together.

        :raises Exception: what preparing or clearing them raised.
        """
        if isinstance(part, Exception):
            raise part
        if isinstance(outcome, Exception):
            raise outcome
        book, coupled = self.book, Coupled(part.rows, part.cells, part.component, outcome)
        lot = book.products[min(codes)].lot_st
        prices: dict[int, list[CellPrice]] = defaultdict(list)
        worth: dict[int, int] = defaultdict(int)
        for number, bids, bought, offers, sold in fills_by_cell(coupled):
            cell, price = coupled.cells[number], coupled.outcome.price[number]
            np.add.at(self.fill, np.concatenate([bids, offers]), np.concatenate([bought, sold]) * lot)
            self.price[offers] = price
            joined = np.concatenate([bids, offers])
            self.pairs.append(_pairs(joined, np.concatenate([bought, sold]) * lot, book.side[joined], self.tie))
            prices[cell.code].append(
                CellPrice(
                    cell.cell or b"", price, coupled.outcome.low[number], coupled.outcome.high[number],
                    coupled.outcome.volume[number] * lot,
                )
            )  # fmt: skip
            worth[cell.code] += _worth(book, cell.code, bids, bought * lot) - _worth(
                book, cell.code, offers, sold * lot
            )
        for code in sorted(codes):
            quote = self.quotes[book.products[code].id]
            self.cleared.append(_cleared_together(book, rows, code, quote, prices=prices[code], worth=worth[code]))
        if any(coupled.outcome.volume):
            self.printed.append(coupled)

    def apart(self, rows: Ints, left_out: Ints) -> None:
        """Clear the products of a component that failed alone, without its flexible bids and the rows left out."""
        left = np.zeros(len(self.book), dtype=np.bool_)
        left[rows[~np.isin(rows, list(self.book.wishes))]] = True
        left[left_out] = False
        for code, some in _by_product(self.book, left):
            self.attempt(code, some, partial(self.plain, code, some))


@dataclass(frozen=True)
class Frozen:
    """The order set of a round: from here on nothing that its result depends on may change.

    Columns follow the book's rows. `tie` settles ties; `components` are (products, rows, what the engine clears).
    """

    book: FrozenBook
    quotes: Mapping[UUID, Quote]
    seed: bytes
    taking_part: Mask
    sealed: Sealed
    tie: Sequence[bytes]
    groups: exclusive.Groups
    components: Sequence[tuple[frozenset[int], Ints, Part | Exception]]


def freeze_book(
    book: FrozenBook,
    quotes: Mapping[UUID, Quote],
    *,
    seed: bytes,
    standing: Sequence[Standing],
    pinned: dict[bytes, bytes],
    name: Name,
) -> Frozen:
    """Who takes part, and the root that says so."""
    taking_part = _taking_part(book, standing, pinned)
    groups = exclusive.groups(book, taking_part, standing)
    groups, taking_part = exclusive.searched(book, taking_part, groups, seed=seed)
    sets = [(codes, _rows_of(book, taking_part, codes)) for codes in exclusive.joined(book, taking_part, groups)]
    parts = [_prepared(book, codes, rows, quotes, seed=seed, groups=groups) for codes, rows in sets]
    sealed = seal(book, quotes, [part for part in parts if isinstance(part, Part)], name=name)
    tie = ties_of(seed, sealed.root, sealed.leaf)
    ready = [part if isinstance(part, Exception) else tied(part, tie) for part in parts]
    components = [(codes, rows, part) for (codes, rows), part in zip(sets, ready, strict=True)]
    return Frozen(book, quotes, seed, taking_part, sealed, tie, groups, components)


Run = Callable[[Sequence[Part]], Sequence[ComponentOutcome | Exception]]


class ComponentFailed(Exception):
    """What clearing a component raised in another process."""


def clear_here(parts: Sequence[Part]) -> list[ComponentOutcome | Exception]:
    """Clear components one after the other in this process; one that fails gives its error."""
    return [_attempted(part.component) for part in parts]


def _attempted(component: Component) -> ComponentOutcome | Exception:
    try:
        return clear_component(component)
    except Exception as error:  # whatever it is: it concerns this component only
        return error


def clear_book(frozen: Frozen, *, run: Run = clear_here) -> Outcome:
    """Clear every product that has bids and offers. The same inputs give the same outcome, whoever clears components."""
    book, taking_part = frozen.book, frozen.taking_part
    none = np.zeros(len(book), dtype=np.int64)
    sheet = _Sheet(book, frozen.quotes, frozen.tie, none, none.copy(), [], [], [], [])
    joined = [code for codes, _, _ in frozen.components for code in codes]
    alone = taking_part & ~np.isin(book.product, joined)
    for row in book.wishes:
        alone[row] = False  # it waits where none of its products has an offer
    for code, rows in _by_product(book, alone):
        sheet.attempt(code, rows, partial(sheet.plain, code, rows))
    _clear_joined(frozen, sheet, run)
    failed = np.isin(np.arange(len(book)), np.concatenate([none[:0], *(fault.rows for fault in sheet.faults)]))
    return Outcome(
        book=book,
        taking_part=taking_part,
        sealed=frozen.sealed,
        fill=sheet.fill,
        ended=book.next_round_only & (sheet.fill < book.left) & ~failed,  # what failed has not had its round
        price=sheet.price,
        pairs=_joined(sheet.pairs),
        cleared=tuple(sheet.cleared),
        printed=tuple(sheet.printed),
        faults=tuple(sheet.faults),
        engine_micros=sheet.engine_nanos // 1000,
    )


def _clear_joined(frozen: Frozen, sheet: _Sheet, run: Run) -> None:
    """Clear the components; where one fails, its products are cleared without their flexible bids."""
    began = time.perf_counter_ns()
    outcomes = iter(run([part for _, _, part in frozen.components if isinstance(part, Part)]))
    sheet.engine_nanos += time.perf_counter_ns() - began
    for codes, rows, part in frozen.components:
        outcome = next(outcomes) if isinstance(part, Part) else part
        if not sheet.attempt(None, rows, partial(sheet.together, codes, rows, part, outcome)):
            sheet.apart(rows, frozen.groups.drawn_out(rows, seed=frozen.seed))


def _prepared(
    book: FrozenBook, codes: frozenset[int], rows: Ints, quotes: Mapping[UUID, Quote], **more: Any
) -> Part | Exception:
    try:
        return part_of(book, rows, codes, quotes, **more)
    except Exception as error:  # as in clearing it
        return error


def _rows_of(book: FrozenBook, taking_part: Mask, codes: frozenset[int]) -> Ints:
    """The rows of a component that take part: those of its products, and the flexible bids that want one of them."""
    wanted = [row for row, wish in book.wishes.items() if codes & wish.limits.keys() and taking_part[row]]
    rows = np.flatnonzero(taking_part & np.isin(book.product, list(codes)))
    return np.union1d(rows, wanted).astype(np.int64)


def _taking_part(book: FrozenBook, standing: Sequence[Standing], pinned: Mapping[bytes, bytes]) -> Mask:
    return (book.available > 0) & ~_self_trades(book) & ~exclusive.pinned_rows(book, standing, pinned)


def _self_trades(book: FrozenBook) -> Mask:
    """Rows that would trade inside their organisation; a flexible bid is looked at in each of its products."""
    more = [(row, code, limit) for row, wish in book.wishes.items() for code, limit in wish.limits.items()]
    rows = np.concatenate([np.arange(len(book)), np.array([row for row, _, _ in more], dtype=np.int64)])
    product = np.concatenate([book.product, np.array([code for _, code, _ in more], dtype=np.int64)])
    limit = np.concatenate([book.limit, np.array([limit for _, _, limit in more], dtype=np.int64)])
    if more:  # instead of the order's own product and limit, which are one of its choices and the highest limit
        kept = np.ones(len(rows), dtype=np.bool_)
        kept[list(book.wishes)] = False
        rows, product, limit = rows[kept], product[kept], limit[kept]
    found = self_trades(book.side[rows], product, book.owner_codes[rows], limit, book.sequence[rows])
    out = np.zeros(len(book), dtype=np.bool_)
    out[rows[found]] = True
    return out


def _by_product(book: FrozenBook, taking_part: Mask) -> list[tuple[int, Ints]]:
    """The rows of each product that has both sides."""
    rows = np.flatnonzero(taking_part)
    codes = book.product[rows]
    both = np.intersect1d(codes[book.side[rows] == BID], codes[book.side[rows] == OFFER])
    rows = rows[np.isin(codes, both)]
    rows = rows[np.argsort(book.product[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(book.product[rows])) + 1)
    return [(int(book.product[part[0]]), part) for part in parts if len(part)]


def _engine_book(book: FrozenBook, rows: Ints, product: ProductView, quote: Quote, tie: Sequence[bytes]) -> Book:
    return Book(
        side=book.side[rows].astype(np.int8),
        price=book.limit[rows],
        quantity=book.available[rows] // product.lot_st,
        cohort=book.cohort[rows],
        tie=[tie[row] for row in rows.tolist()],
        collar_low=quote.collar.low if quote.collar else None,
        collar_high=quote.collar.high if quote.collar else None,
        tick=product.tick_micros,
    )


def _cleared(book: FrozenBook, rows: Ints, code: int, quote: Quote, result: Result) -> Cleared:
    product = book.products[code]
    side = book.side[rows]
    bids, offers = rows[side == BID], rows[side == OFFER]
    best_bid, best_offer = int(book.limit[bids].max()), int(book.limit[offers].min())
    middle = (best_bid + best_offer) // (2 * product.tick_micros) * product.tick_micros
    return Cleared(
        product=product,
        code=code,
        quote=quote,
        price_micros=result.price if result.volume else None,
        low_micros=result.low,
        high_micros=result.high,
        volume_st=result.volume * product.lot_st,
        welfare=result.welfare * product.lot_st,
        indicative_micros=None if result.volume else middle,
        collar_hit=result.collar_hit or stands_at_edge(quote.collar, best_bid=best_bid, best_offer=best_offer),
        bids=len(bids),
        offers=len(offers),
        curve=curve(book, bids, offers) if result.volume else {},
    )


def curve(book: FrozenBook, bids: Ints, offers: Ints) -> dict[str, list[Level]]:
    """Supply and demand as (price, cumulative ST), best first."""
    return {
        "demand": cumulative(levels(book.limit[bids], book.available[bids], best_high=True)),
        "supply": cumulative(levels(book.limit[offers], book.available[offers], best_high=False)),
    }


def _cleared_together(
    book: FrozenBook, rows: Ints, code: int, quote: Quote, *, prices: Sequence[CellPrice], worth: int
) -> Cleared:
    """What a component says of one of its products. No curve: a bid that may trade elsewhere stands on no single one."""
    product, collar = book.products[code], quote.collar
    bids = [row for row in rows[book.side[rows] == BID].tolist() if code in book.wish(row).limits]
    best_bid = max((book.wish(row).limits[code] for row in bids), default=0)
    offers = book.limit[rows[(book.side[rows] == OFFER) & (book.product[rows] == code)]]
    volume = sum(one.volume_st for one in prices)
    mean = sum(one.price_micros * one.volume_st for one in prices) // volume if volume else 0
    return Cleared(
        product=product,
        code=code,
        quote=quote,
        price_micros=mean // product.tick_micros * product.tick_micros if volume else None,
        low_micros=min((one.low_micros for one in prices), default=None),
        high_micros=max((one.high_micros for one in prices), default=None),
        volume_st=volume,
        welfare=worth,
        indicative_micros=None,
        collar_hit=(collar is not None and any(one.price_micros in {collar.low, collar.high} for one in prices))
        or stands_at_edge(collar, best_bid=best_bid, best_offer=int(offers.min(initial=MAX_PRICE_MICROS))),
        bids=len(bids),
        offers=len(offers),
        curve={},
        cells=tuple(one for one in prices if one.cell),
    )


def _worth(book: FrozenBook, code: int, rows: Ints, quantity: Ints) -> int:
    """Limits times quantities in one product."""
    return sum(book.wish(row).limits[code] * lots for row, lots in zip(rows.tolist(), quantity.tolist(), strict=True))


def _pairs(rows: Ints, fill: Ints, side: Ints, tie: Sequence[bytes]) -> Pairs:
    """Who gets whose tokens among these rows, which trade at one price."""
    bids, offers = rows[(side == BID) & (fill > 0)], rows[(side == OFFER) & (fill > 0)]
    bought, sold = fill[(side == BID) & (fill > 0)], fill[(side == OFFER) & (fill > 0)]
    found = pair(bought, [tie[row] for row in bids.tolist()], sold, [tie[row] for row in offers.tolist()])
    return Pairs(bids[found.buy], offers[found.sell], found.quantity)


def _joined(pairs: Sequence[Pairs]) -> Pairs:
    if not pairs:
        none = np.zeros(0, dtype=np.int64)
        return Pairs(none, none, none)
    return Pairs(
        np.concatenate([one.buy for one in pairs]),
        np.concatenate([one.sell for one in pairs]),
        np.concatenate([one.quantity for one in pairs]),
    )
