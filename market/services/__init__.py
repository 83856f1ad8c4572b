"""Writes of the market, one file a subject: `services.orders.place`, `services.rounds.clear_due`, …"""

from market.kernel.amending import Change
from market.kernel.errors import MarketError
from market.kernel.orders import CellTerms, OrderDraft, SupplyDraft
from market.services import (
    amending,
    batch,
    cancellation,
    catalogue,
    components,
    draws,
    faults,
    halts,
    markets,
    obligations,
    orders,
    pacing,
    quantities,
    rounds,
    shortfalls,
    supply,
    sweep,
    switches,
)

__all__ = [
    "CellTerms",
    "Change",
    "MarketError",
    "OrderDraft",
    "SupplyDraft",
    "amending",
    "batch",
    "cancellation",
    "catalogue",
    "components",
    "draws",
    "faults",
    "halts",
    "markets",
    "obligations",
    "orders",
    "pacing",
    "quantities",
    "rounds",
    "shortfalls",
    "supply",
    "sweep",
    "switches",
]
