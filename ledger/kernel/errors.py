"""What the ledger refuses, each with the code that clients see."""

from __future__ import annotations

from accounts.kernel.errors import DomainError


class LedgerError(DomainError):
    """The ledger refuses; the code says why."""


class InsufficientFunds(LedgerError):
    """The account would pass its floor. Details: `account_id`, `available_micros`, `needed_micros`."""

    code = "insufficient_funds"
    status = 402


class KeyConflict(LedgerError):
    """The key was used before with other content."""

    code = "ledger_key_conflict"
    status = 409


class HoldClosed(LedgerError):
    """The hold was resolved before, under another key."""

    code = "hold_closed"
    status = 409


class HoldExhausted(LedgerError):
    """More is taken from a hold than is left in it. Details: `rest_micros`."""

    code = "hold_exhausted"
    status = 409


class HoldNotCovered(LedgerError):
    """A hold is posted with a transfer that does not take as much from the hold's account."""

    code = "hold_not_covered"


class UnknownHold(LedgerError):
    """No hold has this id."""

    code = "unknown_hold"


class UnknownAccount(LedgerError):
    """No account has this id, or no kind of account this name."""

    code = "unknown_account"


class UnknownTransfer(LedgerError):
    """No transfer has this key."""

    code = "unknown_transfer"


class NotHoldable(LedgerError):
    """Holds need an account with a stored total."""

    code = "not_holdable"


class Unbalanced(LedgerError):
    """A transfer needs at least two legs whose debits equal its credits."""

    code = "unbalanced"


class CurrencyMismatch(LedgerError):
    """A transfer stays within one currency."""

    code = "currency_mismatch"


class BadAmount(LedgerError):
    """An amount is a positive whole number of micro-yuan below 2^62."""

    code = "bad_amount"


class Busy(LedgerError):
    """Others kept the accounts locked for too long; nothing was written, and the same request may succeed later."""

    code = "busy"
    status = 503
    retryable = True
