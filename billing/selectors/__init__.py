"""Reads of billing."""

from billing.selectors.checks import verify
from billing.selectors.rows import (
    Breach,
    Earned,
    NoSuchInvoice,
    RatedPart,
    SpentDay,
    Waiting,
    buyers_waiting,
    days_to_close,
    earned,
    exceptions,
    first_waiting_day,
    invoice_row,
    invoices,
    lines_of,
    rated_by_allocation,
    rated_parts,
    spent_by_day,
    waiting,
)
from billing.selectors.usage import OrderUsage, order_usage, usage_rows

__all__ = [
    "Breach",
    "Earned",
    "NoSuchInvoice",
    "OrderUsage",
    "RatedPart",
    "SpentDay",
    "Waiting",
    "buyers_waiting",
    "days_to_close",
    "earned",
    "exceptions",
    "first_waiting_day",
    "invoice_row",
    "invoices",
    "lines_of",
    "order_usage",
    "rated_by_allocation",
    "rated_parts",
    "spent_by_day",
    "usage_rows",
    "verify",
    "waiting",
]
