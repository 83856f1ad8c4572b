"""Exclusive groups of a frozen book: deployments on the same chips, of which one may sell in a window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from market.kernel.coupling import components
from market.kernel.freezing import BID, OFFER, Ints, Mask, Standing, contested, drawn_out, pinned_out
from market.selectors import FrozenBook, standing_of

# A component of more rows or more rival deployments is not searched: its groups are drawn, and it clears as without them.
MOST_ROWS, MOST_RIVALS = 10_000, 100


@dataclass(frozen=True)
class Groups:
    """What a round has to choose between. Columns follow the book's rows, -1 where there is nothing to choose.

    `group` numbers the exclusive groups, `deployment` the positions among `standing`; `products` are by group those in
    which its deployments can sell, and offers in other products have no group.
    """

    standing: Sequence[Standing]
    group: Ints
    deployment: Ints
    products: Mapping[int, frozenset[int]]

    def without(self, numbers: Collection[int]) -> Groups:
        """The same but for these groups."""
        gone = np.isin(self.group, list(numbers))
        left = {number: codes for number, codes in self.products.items() if number not in numbers}
        return Groups(self.standing, np.where(gone, -1, self.group), np.where(gone, -1, self.deployment), left)

    def rivals(self, codes: Collection[int]) -> int:
        """How many deployments stand to choice in these products."""
        in_groups = [group for group, products in self.products.items() if products & set(codes)]
        return len(np.unique(self.deployment[np.isin(self.group, in_groups)]))

    def drawn_out(self, rows: Ints, *, seed: bytes) -> Ints:
        """Of these rows those whose deployments the seed leaves out."""
        rivals = np.unique(self.deployment[rows][self.group[rows] >= 0]).tolist()
        out = drawn_out(self.standing, rivals, seed=seed)
        return rows[(self.group[rows] >= 0) & np.isin(self.deployment[rows], out)]


def pinned_rows(book: FrozenBook, standing: Sequence[Standing], pinned: Mapping[bytes, bytes]) -> Mask:
    """Offers that sit out, because another deployment has sold on their chips in their window."""
    out = np.array([*pinned_out(standing, pinned), False], dtype=np.bool_)  # the last: rows without a deployment
    return out[standing_of(book, standing)] if out.any() else np.zeros(len(book), dtype=np.bool_)


def groups(book: FrozenBook, taking_part: Mask, standing: Sequence[Standing]) -> Groups:
    """The groups in which several deployments have offers that a bid reaches.

    An offer dearer than every bid of its product fills in no round: it neither makes a choice nor takes part in one.
    """
    none = np.full(len(book), -1, dtype=np.int64)
    if not contested(standing, range(len(standing))):
        return Groups(standing, none, none, {})
    at = standing_of(book, standing)
    live = taking_part & (at >= 0) & (book.limit <= _best_bids(book, taking_part)[book.product])
    found = contested(standing, set(at[live].tolist()))
    number = np.full(len(standing) + 1, -1, dtype=np.int64)
    for group, positions in enumerate(found.values()):
        number[positions] = group
    group_of, count = np.where(taking_part, number[at], -1), len(book.products)
    pairs = np.unique(group_of[live & (group_of >= 0)] * count + book.product[live & (group_of >= 0)])
    group_of = np.where(np.isin(group_of * count + book.product, pairs), group_of, -1)
    products: dict[int, set[int]] = defaultdict(set)
    for group, code in zip((pairs // count).tolist(), (pairs % count).tolist(), strict=True):
        products[group].add(code)
    frozen = {group: frozenset(codes) for group, codes in products.items()}
    return Groups(standing, group_of, np.where(group_of >= 0, at, -1), frozen)


def _best_bids(book: FrozenBook, taking_part: Mask) -> Ints:
    """The highest limit of a bid in each product, 0 where there is none."""
    best = np.zeros(len(book.products), dtype=np.int64)
    bids = taking_part & (book.side == BID)
    flexible = [row for row in book.wishes if taking_part[row]]
    bids[flexible] = False
    np.maximum.at(best, book.product[bids], book.limit[bids])
    for row in flexible:
        for code, limit in book.wishes[row].limits.items():
            best[code] = max(best[code], limit)
    return best


def searched(book: FrozenBook, taking_part: Mask, groups: Groups, *, seed: bytes) -> tuple[Groups, Mask]:
    """The groups that the program chooses in, and who takes part when all others are drawn by the seed.

    Drawn are groups that would join products of unlike ticks or lots, or more rows than a round can search.
    """
    if not groups.products:
        return groups, taking_part
    rows_in = np.bincount(book.product[taking_part], minlength=len(book.products))
    unlike = {
        group
        for group, codes in groups.products.items()
        if len({(book.products[code].tick_micros, book.products[code].lot_st) for code in codes}) > 1
    }
    kept = groups.without(unlike)
    wide = [
        codes
        for codes in joined(book, taking_part, kept)
        if rows_in[list(codes)].sum() > MOST_ROWS or kept.rivals(codes) > MOST_RIVALS
    ]
    kept = kept.without({group for group, codes in kept.products.items() if any(codes & some for some in wide)})
    given_up = groups.without(kept.products)
    out = given_up.drawn_out(np.flatnonzero(given_up.group >= 0), seed=seed)
    taking_part = taking_part.copy()
    taking_part[out] = False
    return kept, taking_part


def joined(book: FrozenBook, taking_part: Mask, groups: Groups) -> list[frozenset[int]]:
    """The products that clear together."""
    offered = set(book.product[taking_part & (book.side == OFFER)].tolist())
    wishes = [wish for row, wish in book.wishes.items() if taking_part[row]]
    return components(wishes, offered, groups.products.values())
