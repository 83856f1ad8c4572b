"""Which orders take part in a round, and with how much, looked at again when the book is frozen."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

MICRO = 10**6
BID, OFFER = 0, 1


def deliverable_st(*, offered: int, sold: int, rate: int, due_micro: int, seconds: int, lot: int) -> int:
    """Whole lots that a supply can still deliver: never more than declared, nor than its rate allows in the time left.

    `rate` is ST/s; `due_micro` the micro-ST/s that earlier sales take of it, drawn evenly until the window ends.
    """
    by_rate = (rate * MICRO - due_micro) * seconds // MICRO
    return max(0, min(offered - sold, by_rate)) // lot * lot


def due_micro_st_per_second(sold: int, *, seconds: int) -> int:
    """What a sale takes of the rate when drawn evenly over the seconds left, rounded up; `seconds` ≥ 1."""
    return -(-sold * MICRO // seconds)


def within_supply(left: Ints, supply: Ints, sequence: Ints, deliverable: Ints) -> Ints:
    """What each offer may sell: earlier offers on the same supply come first.

    `supply` numbers the rows of `deliverable`, which are whole lots, as are the quantities left.
    """
    order = np.lexsort((sequence, supply))
    ordered, group = left[order], supply[order]
    before = np.cumsum(ordered) - ordered
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    before -= np.repeat(before[starts], np.diff(starts, append=len(group)))
    allowed = np.empty_like(left)
    allowed[order] = np.clip(deliverable[group] - before, 0, ordered)
    return allowed


def self_trades(side: Ints, product: Ints, owner: Ints, limit: Ints, sequence: Ints) -> Mask:
    """The younger orders of pairs that would trade inside one organisation: they sit this round out."""
    left_out = np.zeros(len(side), dtype=np.bool_)
    group = product * (owner.max(initial=0) + 1) + owner
    for members in _two_sided(side, group):
        if limit[members[side[members] == BID]].max() < limit[members[side[members] == OFFER]].min():
            continue
        highest_bid, lowest_offer = -1, np.iinfo(np.int64).max
        for row in members[np.argsort(sequence[members], kind="stable")]:
            if side[row] == BID:
                left_out[row] = limit[row] >= lowest_offer
                highest_bid = highest_bid if left_out[row] else max(highest_bid, limit[row])
            else:
                left_out[row] = limit[row] <= highest_bid
                lowest_offer = lowest_offer if left_out[row] else min(lowest_offer, limit[row])
    return left_out


def _two_sided(side: Ints, group: Ints) -> Iterable[Ints]:
    """Rows of each group that has bids and offers."""
    both = np.intersect1d(group[side == BID], group[side == OFFER])
    if not len(both):
        return
    rows = np.flatnonzero(np.isin(group, both))
    rows = rows[np.argsort(group[rows], kind="stable")]
    yield from np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1)


@dataclass(frozen=True)
class Standing:
    """A deployment with open offers, and the chips and window (`group`) that it stands on."""

    group: bytes
    deployment: bytes


def pinned_out(standing: Sequence[Standing], pinned: Mapping[bytes, bytes]) -> list[bool]:
    """Which deployments sit out, because another one has sold on the same chips in the same window (`pinned`)."""
    return [pinned.get(one.group, one.deployment) != one.deployment for one in standing]


def contested(standing: Sequence[Standing], live: Collection[int]) -> dict[bytes, list[int]]:
    """Groups in which several deployments can sell: by group their positions among `standing`, of which `live` can."""
    rivals: dict[bytes, list[int]] = defaultdict(list)
    for position in sorted(live):
        rivals[standing[position].group].append(position)
    return {group: positions for group, positions in sorted(rivals.items()) if len(positions) > 1}


def drawn_out(standing: Sequence[Standing], rivals: Iterable[int], *, seed: bytes) -> list[int]:
    """Of these rivals (positions among `standing`) those that the seed leaves out: one of each group stays.

    For groups among which the best choice is not looked for.
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    for position in rivals:
        groups[standing[position].group].append(position)
    out: list[int] = []
    for _, positions in sorted(groups.items()):
        stays = min(positions, key=lambda position: hashlib.sha256(seed + standing[position].deployment).digest())
        out += [position for position in positions if position != stays]
    return out
