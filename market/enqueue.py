"""Names of the market's tasks."""

CLEAR_DUE = "market.clear_due"
SWEEP = "market.sweep"
