"""Which purchase pays for what was bought and not drawn, after usage has had its place.

The market says how much of each allocation was not drawn. Usage is rated first,
and may consume another allocation of the same buyer and product than the one it
was drawn on; what is charged then moves the other way, so that usage and
charges together never go beyond what was bought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from billing.kernel.rounding import refuse_negative


@dataclass(frozen=True, slots=True)
class Undrawn:
    """So many micro-ST of an allocation that are paid though not drawn."""

    charge_id: int
    allocation_id: UUID
    micro_st: int


@dataclass(frozen=True, slots=True)
class ChargedPart:
    """A piece of a charge, in micro-ST, at the price of the allocation that it consumes."""

    charge_id: int
    allocation_id: UUID
    micro_st: int


def place(charges: Sequence[Undrawn], left: Mapping[UUID, int]) -> list[ChargedPart]:
    """Place charges on what usage left of each allocation: its own first, then the others in the order given.

    Gives at most one part for each charge and allocation, in the order of the
    charges. What does not fit any more, because usage came late, is not charged.

    :raises NegativeAmount: a charge or a rest below zero.
    """
    refuse_negative(**{f"charge {one.charge_id}": one.micro_st for one in charges})
    refuse_negative(**{f"rest of {key}": micro_st for key, micro_st in left.items()})
    rest = dict(left)
    taken: dict[tuple[int, UUID], int] = {}
    open_ = {one.charge_id: one.micro_st for one in charges}
    for one in charges:
        _take(one.charge_id, one.allocation_id, open_, rest, taken)
    for one in charges:
        for allocation_id in left:
            _take(one.charge_id, allocation_id, open_, rest, taken)
    return [ChargedPart(charge_id, key, micro_st) for (charge_id, key), micro_st in sorted(taken.items(), key=_order)]


def _order(item: tuple[tuple[int, UUID], int]) -> tuple[int, UUID]:
    return item[0]


def _take(
    charge_id: int, key: UUID, open_: dict[int, int], rest: dict[UUID, int], taken: dict[tuple[int, UUID], int]
) -> None:
    part = min(open_[charge_id], rest.get(key, 0))
    if part:
        open_[charge_id] -= part
        rest[key] -= part
        taken[(charge_id, key)] = taken.get((charge_id, key), 0) + part
