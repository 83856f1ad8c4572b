"""A component's result as the checker reads it: all that a stranger needs to check it, and no identity."""

from __future__ import annotations

import hashlib

from market.matching_engine.certificate_reading import Cell, Order, reject
from market.matching_engine.certificate_reading import Component as Printed
from market.matching_engine.coupled import Component, Outcome, clipped


def printed(component: Component, outcome: Outcome) -> Printed:
    """The component of `market.matching_engine.certificate`."""
    cells = [
        Cell(
            component.tick, component.collar_low[cell], component.collar_high[cell], outcome.low[cell],
            outcome.high[cell], outcome.price[cell], outcome.volume[cell],
        )
        for cell in range(component.cells)
    ]  # fmt: skip
    orders = []
    for one, fills in zip(clipped(component), outcome.fills, strict=True):
        kind = f"{one.side};{','.join(map(str, one.cells))};{','.join(map(str, one.limits))};{one.cohort}"
        limits = dict(zip(one.cells, one.limits, strict=True))
        orders.append(
            Order(
                one.side, one.quantity, one.minimum, one.cohort, one.group, one.deployment, limits, dict(fills),
                one.tie, hashlib.sha256(component.seed + kind.encode()).digest(),
            )
        )  # fmt: skip
    reject(orders)
    assert {n for n, one in enumerate(orders) if one.rejected} == set(outcome.rejected)
    return Printed(cells, orders, outcome.welfare)
