"""What kinds of account there are, and which of them carry a stored total.

Source: the posting table in the README of this app.
"""

from __future__ import annotations

from typing import Literal

Side = Literal["debit", "credit"]

DEBIT: Side = "debit"
CREDIT: Side = "credit"

# The side on which a balance grows. Money we have or are owed is a debit, money we owe or earned a credit.
NORMAL_SIDES: dict[str, Side] = {
    "cash_clearing": DEBIT,
    "wallet": CREDIT,
    "receivable": DEBIT,
    "unbilled": CREDIT,
    "payable_held": CREDIT,
    "payable_available": CREDIT,
    "collateral": CREDIT,
    "fee_revenue": CREDIT,
    "tax_payable": CREDIT,
    "promo": DEBIT,
    "rounding": CREDIT,
    "suspense": CREDIT,
    "penalty": CREDIT,
    "bundle_margin": CREDIT,
}

# Only an account with a floor stores its total. A total stored for a platform-wide account would be one hot row that
# every transfer waits for; its balance is the sum of its entries.
STORED = frozenset({"wallet", "receivable", "payable_held", "payable_available", "collateral"})

# Amounts and totals stay below this, so that no sum of two of them leaves a BIGINT.
MOST_MICROS = 2**62
