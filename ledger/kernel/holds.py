"""Holds: money set aside first, then posted, released or split, and resolved once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from ledger.kernel.errors import BadAmount, HoldClosed, HoldExhausted, UnknownHold
from ledger.kernel.kinds import MOST_MICROS
from ledger.kernel.transfers import check_amount

Action = Literal["increase", "decrease", "split", "post", "release", "void", "expire"]

# What may be left without an amount: all the rest is meant.
_TAKES_ALL = frozenset({"release", "void", "expire"})


@dataclass(frozen=True, slots=True)
class HoldDraft:
    """Micro-yuan to set aside in an account; after `expires_at` the sweeper may give back what is left."""

    key: str
    account_id: UUID
    amount_micros: int
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HoldChange:
    """A step in a hold's life.

    Without an amount, `release`, `void` and `expire` mean all the rest. `post`
    names its transfer; `split` may choose the id and the expiry of its child.
    """

    key: str
    hold_id: UUID
    action: Action
    amount_micros: int | None
    transfer_key: str | None = None
    child_id: UUID | None = None
    child_expires_at: datetime | None = None


def resolve(changes: Sequence[HoldChange], rests: Mapping[UUID, int]) -> list[int]:
    """The amount of each change, in micro-yuan, when they are made one after the other.

    :raises UnknownHold, HoldClosed, HoldExhausted, BadAmount: see there.
    """
    left = dict(rests)
    return [_step(change, left) for change in changes]


def _step(change: HoldChange, left: dict[UUID, int]) -> int:
    rest = left.get(change.hold_id)
    if rest is None:
        raise UnknownHold("There is no such hold.", hold_id=str(change.hold_id))
    if rest == 0:
        raise HoldClosed("This hold was resolved before.", hold_id=str(change.hold_id))
    amount = change.amount_micros
    if amount is None:
        if change.action not in _TAKES_ALL:
            raise BadAmount(f"{change.action} needs an amount.")
        amount = rest
    check_amount(amount)
    if change.action == "increase":
        if rest + amount >= MOST_MICROS:
            raise BadAmount("No hold is that large.")
        left[change.hold_id] = rest + amount
        return amount
    if amount > rest:
        raise HoldExhausted("The hold has less left.", hold_id=str(change.hold_id), rest_micros=rest)
    if change.action in {"void", "expire"} and amount != rest:
        raise BadAmount(f"{change.action} takes all that is left.", rest_micros=rest)
    left[change.hold_id] = rest - amount
    return amount


def held_changes(
    changes: Sequence[HoldChange], amounts: Sequence[int], account_of: Mapping[UUID, UUID]
) -> dict[UUID, int]:
    """By how many micro-yuan the held total of each account grows (or shrinks, below 0). A split moves nothing."""
    found: dict[UUID, int] = defaultdict(int)
    for change, amount in zip(changes, amounts, strict=True):
        if change.action != "split":
            found[account_of[change.hold_id]] += amount if change.action == "increase" else -amount
    return dict(found)
