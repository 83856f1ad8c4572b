"""How a request spreads over what was bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Share:
    """Micro-ST of one allocation: left, or taken."""

    id: UUID
    micro_st: int


def spread(left: Sequence[Share], micro_st: int) -> list[Share] | None:
    """Take from the first on, each to its end; None where all of them together do not cover it."""
    if sum(share.micro_st for share in left) < micro_st:
        return None
    taken: list[Share] = []
    for share in left:
        part = min(share.micro_st, micro_st)
        if part:
            taken.append(Share(share.id, part))
            micro_st -= part
        if not micro_st:
            break
    return taken


def used_by_part(reserved: Sequence[int], used: int) -> list[int]:
    """What each part of a reservation gave to a request, the first ones to their end."""
    result: list[int] = []
    for part in reserved:
        result.append(min(part, used))
        used -= result[-1]
    return result
