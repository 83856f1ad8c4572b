"""A component's result as it is printed: all that a stranger needs to check it, and no identity."""

from __future__ import annotations

from typing import Any

from market.matching_engine.coupled import Component, Outcome, clipped


def printed(component: Component, outcome: Outcome) -> dict[str, Any]:
    """The certificate of `market.matching_engine.certificate`; sides are 0 (bid) and 1 (offer), prices integers."""
    rejected = set(outcome.rejected)
    return {
        "seed": component.seed.hex(),
        "tick": component.tick,
        "path": outcome.path,
        "welfare": outcome.welfare,
        "cells": [
            {
                "low": component.collar_low[cell],
                "high": component.collar_high[cell],
                "least": outcome.low[cell],
                "greatest": outcome.high[cell],
                "price": outcome.price[cell],
                "volume": outcome.volume[cell],
            }
            for cell in range(component.cells)
        ],
        "orders": [
            {
                "side": one.side,
                "quantity": one.quantity,
                "minimum": one.minimum,
                "group": one.group,
                "deployment": one.deployment,
                "cohort": one.cohort,
                "tie": one.tie.hex(),
                "limits": dict(zip(one.cells, one.limits, strict=True)),
                "fills": outcome.fills[number],
                "rejected": number in rejected,
            }
            for number, one in enumerate(clipped(component))
        ],
    }
