"""What goes into the clearing of coupled cells, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from market.matching_engine.book import BID, BookInvalid, BookTooLarge

LARGEST_LOTS = 2**40  # a linear program in doubles stays exact below
LARGEST_TICKS = 2**40


@dataclass(frozen=True, slots=True)
class Order:
    """One order of a component.

    A bid accepts every one of `cells` (ascending) at the limit beside it; an offer
    has one cell. `quantity` is in lots. It fills with nothing or with at least
    `minimum`. Offers of one exclusive `group` stand on the same chips: only those of
    one `deployment` fill; both are opaque numbers, and such offers have no minimum.
    A smaller `cohort` is older; `tie` is 32 bytes, no two alike.
    """

    side: int  # BID or OFFER
    quantity: int
    cohort: int
    tie: bytes
    cells: tuple[int, ...]
    limits: tuple[int, ...]
    minimum: int = 0
    group: int | None = None
    deployment: int | None = None

    @property
    def is_block(self) -> bool:
        """Whether it is a yes or no before it is a quantity."""
        return self.minimum > 0 or self.group is not None


@dataclass(frozen=True, slots=True)
class Component:
    """Cells that orders tie together, with each cell's collar. Prices are multiples of `tick`, in micro-yuan.

    `seed` is 32 bytes fixed before the order set was; it settles what no rule does.
    """

    orders: Sequence[Order]
    collar_low: tuple[int, ...]
    collar_high: tuple[int, ...]
    tick: int
    seed: bytes

    @property
    def cells(self) -> int:
        """How many."""
        return len(self.collar_low)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a component came to.

    `fills` is parallel to the orders: lots by cell. Per cell: `low` and `high` are
    the least and the greatest equilibrium price and `price` the floored midpoint, a
    support price where the cell's `volume` is 0. `path` says how blocks were chosen
    ("none" without blocks, "milp", "fallback"), `cuts` how many choices were
    forbidden because an accepted block would have lost. `rejected` are the blocks
    left out, among them the offers of deployments not chosen, and `paradoxical` those
    of them that the price would have suited.
    """

    fills: tuple[dict[int, int], ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    price: tuple[int, ...]
    volume: tuple[int, ...]
    welfare: int
    path: str = "none"
    cuts: int = 0
    rejected: tuple[int, ...] = ()
    paradoxical: tuple[int, ...] = ()


def clipped(component: Component) -> list[Order]:
    """The orders with their limits inside the collars, as the auction sees them."""
    low, high = component.collar_low, component.collar_high
    orders = []
    for one in component.orders:
        if one.side == BID:
            limits = tuple(min(limit, high[cell]) for cell, limit in zip(one.cells, one.limits, strict=True))
        else:
            limits = tuple(max(limit, low[cell]) for cell, limit in zip(one.cells, one.limits, strict=True))
        same = limits == one.limits
        orders.append(one if same else replace(one, limits=limits))
    return orders


def validate(component: Component) -> None:
    """Refuse what could not be cleared exactly.

    :raises BookInvalid: see there; `BookTooLarge` for size.
    """
    tick, ends = component.tick, (*component.collar_low, *component.collar_high)
    if tick < 1 or len(component.collar_low) != len(component.collar_high) or any(end % tick for end in ends):
        raise BookInvalid("A tick is at least 1, and each cell has a collar of whole ticks.")
    if any(low > high for low, high in zip(component.collar_low, component.collar_high, strict=True)):
        raise BookInvalid("A collar's low end is above its high end.")
    for one in component.orders:
        _validate(one, component)
    largest = max((abs(end) for end in ends), default=0)
    if largest >= LARGEST_TICKS * tick or sum(one.quantity for one in component.orders) > LARGEST_LOTS:
        raise BookTooLarge("Prices or quantities of coupled cells are too large to be cleared exactly.")


def _validate(one: Order, component: Component) -> None:
    ascending = all(a < b for a, b in zip(one.cells, one.cells[1:], strict=False))
    if not one.cells or not ascending or one.cells[0] < 0 or one.cells[-1] >= component.cells:
        raise BookInvalid("An order names at least one cell of the component, in ascending order.")
    if len(one.limits) != len(one.cells) or any(limit % component.tick for limit in one.limits):
        raise BookInvalid("An order has one limit a cell, a multiple of the tick.")
    if one.quantity < 1 or not 0 <= one.minimum <= one.quantity:
        raise BookInvalid("A quantity is at least one lot, and no minimum is below zero or above the quantity.")
    if one.side != BID and len(one.cells) != 1:
        raise BookInvalid("An offer stands in one cell.")
    if (one.group is None) != (one.deployment is None):
        raise BookInvalid("An exclusive group is one of deployments.")
    if one.group is not None and (one.side == BID or one.minimum):
        raise BookInvalid("Only offers without a minimum are in exclusive groups.")
