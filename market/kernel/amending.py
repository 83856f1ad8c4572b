"""What an amendment makes of an order, and whether the order keeps its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from market.kernel import errors
from market.kernel.money import cost_micros


@dataclass(frozen=True)
class Asked:
    """What an order asks: ST in all, filled ones included, and micro-yuan per million ST."""

    quantity_st: int
    limit_micros: int
    expires_at: datetime


@dataclass(frozen=True)
class Change:
    """What is to change; None stays as it is."""

    quantity_st: int | None = None
    limit_micros: int | None = None
    expires_at: datetime | None = None

    def of(self, asked: Asked) -> Asked:
        """What the order asks afterwards."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(asked, **given)


def keeps_cohort(before: Asked, after: Asked) -> bool:
    """Whether the order stays as old as it is: at the same price and for no more. Source: docs/market-rules.md."""
    return after.limit_micros == before.limit_micros and after.quantity_st <= before.quantity_st


def check_filled(after: Asked, *, filled_st: int) -> None:
    """Refuse a quantity that leaves nothing open.

    :raises BelowFilled: `details` give what is filled.
    """
    if after.quantity_st <= filled_st:
        raise errors.BelowFilled(
            "The quantity is more than what is filled; cancel the order to end it.", filled_st=str(filled_st)
        )


def hold_change(before: Asked, after: Asked, *, filled_st: int) -> int:
    """Micro-yuan by which the hold of a bid grows, or shrinks below 0: what is open at the limit, after and before."""
    open_before, open_after = before.quantity_st - filled_st, after.quantity_st - filled_st
    return cost_micros(after.limit_micros, open_after) - cost_micros(before.limit_micros, open_before)
