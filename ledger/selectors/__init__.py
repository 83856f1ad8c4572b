"""What others may read of the ledger."""

from ledger.selectors.balances import Balance, balance, wallet
from ledger.selectors.breaches import Breach, verify
from ledger.selectors.lookups import (
    HoldRow,
    Stepped,
    account_facts,
    account_id,
    due_holds,
    hold_rests,
    holds,
    placed,
    stepped,
    transfers,
    uncovered,
)
from ledger.selectors.statements import Movement, Statement, movements, statement

__all__ = [
    "Balance",
    "Breach",
    "HoldRow",
    "Movement",
    "Statement",
    "Stepped",
    "account_facts",
    "account_id",
    "balance",
    "due_holds",
    "hold_rests",
    "holds",
    "movements",
    "placed",
    "statement",
    "stepped",
    "transfers",
    "uncovered",
    "verify",
    "wallet",
]
