"""Which products a round must clear together: a flexible bid accepts several or only some cells of one, or deployments
on the same chips sell in several."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Wish:
    """What a flexible bid accepts: products (by number) with a limit each, the ids of its cells (None: all), a minimum."""

    limits: Mapping[int, int]
    cells: frozenset[bytes] | None = None
    minimum_st: int = 0


def components(
    wishes: Iterable[Wish], offered: Collection[int], contested: Iterable[Collection[int]] = ()
) -> list[frozenset[int]]:
    """Sets of products that clear together: those that a wish or an exclusive group joins.

    Of a wish only the products in which anything is offered; `contested` are the products of each group.
    """
    parent: dict[int, int] = {}

    def top(code: int) -> int:
        while parent[code] != code:
            parent[code] = parent[parent[code]]
            code = parent[code]
        return code

    wanted = ([code for code in wish.limits if code in offered] for wish in wishes)
    for codes in (*wanted, *map(sorted, contested)):
        for code in codes:
            parent.setdefault(code, code)
            parent[top(code)] = top(codes[0])
    found: dict[int, set[int]] = {}
    for code in parent:
        found.setdefault(top(code), set()).add(code)
    return sorted((frozenset(codes) for codes in found.values()), key=min)
