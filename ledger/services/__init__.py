"""What the ledger does for the apps above it.

Every function joins the caller's transaction, or opens its own where there is
none, and repeats itself when the database reports a deadlock. A refused call
leaves the caller's transaction as it was.
"""

from ledger.kernel.errors import (
    BadAmount,
    Busy,
    CurrencyMismatch,
    HoldClosed,
    HoldExhausted,
    HoldNotCovered,
    InsufficientFunds,
    KeyConflict,
    LedgerError,
    NotHoldable,
    Unbalanced,
    UnknownAccount,
    UnknownHold,
    UnknownTransfer,
)
from ledger.kernel.holds import HoldChange, HoldDraft
from ledger.kernel.transfers import Leg, TransferDraft
from ledger.services.accounts import open_account
from ledger.services.holds import capture, change_holds, expire_holds, place_holds
from ledger.services.transactions import transactional
from ledger.services.transfers import post

__all__ = [
    "BadAmount",
    "Busy",
    "CurrencyMismatch",
    "HoldChange",
    "HoldClosed",
    "HoldDraft",
    "HoldExhausted",
    "HoldNotCovered",
    "InsufficientFunds",
    "KeyConflict",
    "LedgerError",
    "Leg",
    "NotHoldable",
    "TransferDraft",
    "Unbalanced",
    "UnknownAccount",
    "UnknownHold",
    "UnknownTransfer",
    "capture",
    "change_holds",
    "expire_holds",
    "open_account",
    "place_holds",
    "post",
    "transactional",
]
