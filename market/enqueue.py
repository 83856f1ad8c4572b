"""Names of the market's tasks."""

CLEAR_DUE = "market.clear_due"
CLEAR_COMPONENTS = "market.clear_components"
SWEEP = "market.sweep"
