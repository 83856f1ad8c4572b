"""What an order may look like."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from market.kernel import errors, windows
from market.kernel.money import cost_micros

# Above these an order is a slip, and its worst case would not fit a ledger amount.
MAX_PRICE_MICROS = 10**12
MAX_QUANTITY_ST = 10**15
MAX_COST_MICROS = 10**15

Side = Literal["buy", "sell"]
TimeInForce = Literal["ioc", "gtt", "gtc"]


@dataclass(frozen=True)
class CellTerms:
    """What an offer stands for beside its product; free texts, compared as they are."""

    region: str
    tier: str
    vendor: str
    data_terms: str


TIERS = ("probation", "listed", "verified")  # lowest first
# What happens to prompts, best first: nothing kept, no training, mainland; the same but kept up to 30 days against
# abuse; not declared, which counts as the worst.
DATA_TERMS = ("no-retention", "retention-30d", "unknown")
STRICTEST_TERMS = frozenset(DATA_TERMS[:1])
MOST_CHOICES = 100
# Each grade keeps what those after it promise.
GRADES = ("realtime", "interactive", "batch")


@dataclass(frozen=True, order=True)
class Choice:
    """One of several products that a bid accepts, and its limit there. Without a grade: the bid's own."""

    line: str
    window_start: datetime
    limit_micros: int
    grade: str = ""


def with_better(choices: Iterable[Choice], *, traded: Collection[str]) -> list[Choice]:
    """These choices, each with a grade, and those of them in every better grade that is traded, at the same limit.

    The given ones come first and keep their limits; where several give the same product, the highest limit counts.
    """
    named = {(one.line, one.window_start, one.grade): one for one in choices}
    more: dict[tuple[str, datetime, str], Choice] = {}
    for one in named.values():
        for grade in better_grades(one.grade):
            key = (one.line, one.window_start, grade)
            if grade in traded and key not in named and (key not in more or more[key].limit_micros < one.limit_micros):
                more[key] = replace(one, grade=grade)
    return [*named.values(), *more.values()]


def takes_better(choices: Iterable[Choice], *, grade: str) -> bool:
    """Whether every better grade of each of an order's choices is a choice too; its own grade goes without saying."""
    named = {(one.line, one.window_start, one.grade or grade) for one in choices}
    better = {(line, start, above) for line, start, own in named for above in better_grades(own)}
    return bool(better) and better <= named


def better_grades(grade: str) -> tuple[str, ...]:
    """The grades that promise more than this one; of an unknown one none."""
    return GRADES[: GRADES.index(grade)] if grade in GRADES else ()


@dataclass(frozen=True)
class Scope:
    """Which cells a bid accepts, and what it fills with at least.

    No vendor, region or tier named: all of them, and any quantity. Of data terms only the strictest, unless it says that
    it takes others too: a prompt never reaches terms that its buyer did not name.
    """

    vendors: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    minimum_st: int = 0
    data_terms: frozenset[str] = STRICTEST_TERMS


ANY_SCOPE = Scope()


@dataclass(frozen=True)
class OrderDraft:
    """An order as asked for. `limit_micros`: micro-yuan per million ST.

    A bid accepts all cells of its product, or what `scope` names. With `choices` it
    accepts those products, the one named by line and window among them; its limit is
    then the highest of theirs.
    """

    organisation_id: UUID
    side: Side
    line: str
    grade: str
    window_start: datetime
    quantity_st: int
    limit_micros: int
    time_in_force: TimeInForce = "gtc"
    expires_at: datetime | None = None
    client_order_id: str | None = None
    cell: CellTerms | None = None
    supply_id: UUID | None = None
    choices: tuple[Choice, ...] = ()
    scope: Scope = ANY_SCOPE

    @property
    def is_flexible(self) -> bool:
        """Whether it is more than a bid for any quantity in any cell of one product."""
        return bool(self.choices) or self.scope != ANY_SCOPE


@dataclass(frozen=True)
class SupplyDraft:
    """Capacity of one deployment in one window, as its provider declares it."""

    organisation_id: UUID
    pool_id: UUID
    exclusive_group: UUID
    deployment_id: UUID
    line: str
    grade: str
    window_start: datetime
    terms: CellTerms
    offered_st: int
    rate_st_per_second: int


@dataclass(frozen=True)
class Terms:
    """Tick (micro-yuan per million ST) and lot (ST) of a grade."""

    tick_micros: int
    lot_st: int


def check_window(start: datetime, now: datetime) -> None:
    """Refuse a window that cannot be traded.

    :raises WindowClosed, UnknownWindow: see there.
    """
    if not windows.is_window_start(start):
        raise errors.UnknownWindow("A window starts on the full hour.")
    if windows.is_closed(start, now):
        raise errors.WindowClosed("This window is over.")
    if not windows.is_open(start, now):
        raise errors.UnknownWindow(f"Windows open {windows.WINDOWS_AHEAD} hours ahead.")


def check_draft(draft: OrderDraft, terms: Terms, *, now: datetime) -> None:
    """Refuse a draft that breaks a rule of its own, whatever else is in the book.

    :raises OffLot, OffTick, OrderTooLarge, BadExpiry, NotSupported, NoSupply, WindowClosed, UnknownWindow: see there.
    """
    check_window(draft.window_start, now)
    if draft.quantity_st <= 0 or draft.quantity_st % terms.lot_st:
        raise errors.OffLot(f"The quantity is a multiple of {terms.lot_st} ST.", lot_st=terms.lot_st)
    check_limit(draft.limit_micros, terms)
    if (
        draft.quantity_st > MAX_QUANTITY_ST
        or draft.limit_micros > MAX_PRICE_MICROS
        or cost_micros(draft.limit_micros, draft.quantity_st) > MAX_COST_MICROS
    ):
        raise errors.OrderTooLarge("This order is larger than the market takes.", most_micros=MAX_COST_MICROS)
    if draft.time_in_force == "gtt" and (draft.expires_at is None or draft.expires_at <= now):
        raise errors.BadExpiry("A good-till-time order needs a time to come.")
    if draft.time_in_force != "gtt" and draft.expires_at is not None:
        raise errors.BadExpiry("Only a good-till-time order has an expiry of its own.")
    if draft.side == "buy" and (draft.cell is not None or draft.supply_id is not None):
        raise errors.NotSupported("A bid accepts all vendors, regions and tiers of its product.")
    if draft.side == "sell" and draft.supply_id is None:
        raise errors.NoSupply("A sell order needs declared capacity behind it.")
    if draft.is_flexible:
        _check_flexible(draft, terms, now=now)


def _check_flexible(draft: OrderDraft, terms: Terms, *, now: datetime) -> None:
    if draft.side == "sell":
        raise errors.NotSupported("An offer stands in one cell and fills with any quantity.")
    if not 0 <= draft.scope.minimum_st <= draft.quantity_st or draft.scope.minimum_st % terms.lot_st:
        raise errors.BadMinimum("A minimum is a multiple of the lot, at most the quantity.", lot_st=terms.lot_st)
    for names, known, word in ((draft.scope.tiers, TIERS, "tier"), (draft.scope.data_terms, DATA_TERMS, "data terms")):
        if names - set(known):
            raise errors.BadScope(f"There is no {word} {', '.join(sorted(names - set(known)))}.")
    if not draft.scope.data_terms:
        raise errors.BadScope("A bid accepts some data terms.")
    if len(draft.choices) > MOST_CHOICES:
        raise errors.NotSupported(f"A bid accepts at most {MOST_CHOICES} products.")
    for choice in draft.choices:
        check_window(choice.window_start, now)
        check_limit(choice.limit_micros, terms)
    if len({(choice.line, choice.window_start, choice.grade) for choice in draft.choices}) < len(draft.choices):
        raise errors.BadScope("A line, grade and window is named twice.")
    if draft.choices:
        own = Choice(draft.line, draft.window_start, draft.limit_micros)
        if own not in draft.choices or draft.limit_micros < max(choice.limit_micros for choice in draft.choices):
            raise errors.BadScope("The order's own product is the choice with its highest limit.")


def check_limit(limit_micros: int, terms: Terms) -> None:
    """Refuse a limit that stands on no tick.

    :raises OffTick: `details` give the tick in micro-yuan per million ST.
    """
    if limit_micros <= 0 or limit_micros % terms.tick_micros:
        raise errors.OffTick("The limit is a multiple of the tick.", tick_micros=terms.tick_micros)


def expires_at(draft: OrderDraft) -> datetime:
    """When the order leaves the book at the latest: its own expiry, else the end of its last window."""
    end = max([draft.window_start, *(choice.window_start for choice in draft.choices)]) + windows.WINDOW
    return end if draft.expires_at is None else min(draft.expires_at, end)
