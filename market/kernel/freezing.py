"""Which orders take part in a round, and with how much, looked at again when the book is frozen."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
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


def left_out_deployments(standing: Sequence[Standing], *, pinned: dict[bytes, bytes], seed: bytes) -> list[Standing]:
    """Deployments that sit this round out, because another one has the same chips in the same window.

    `group` tells chips and window together. The first sale pins a group to its deployment (`pinned`); until then
    one is drawn by the seed, each round anew.
    """
    rivals: dict[bytes, set[bytes]] = defaultdict(set)
    for one in standing:
        rivals[one.group].add(one.deployment)
    out: list[Standing] = []
    for group, deployments in sorted(rivals.items()):
        drawn = min(deployments, key=lambda one: hashlib.sha256(seed + one).digest())
        stays = pinned.get(group, drawn)
        out += [Standing(group, one) for one in sorted(deployments) if one != stays]
    return out
