"""What payments refuse, each with the code that clients see."""

from __future__ import annotations

from accounts.kernel.errors import DomainError


class PaymentError(DomainError):
    """A payment is refused; the code says why. Nothing was written."""


class NotConfigured(PaymentError):
    """This site takes bank transfers only."""

    code = "stripe_not_configured"
    status = 409


class NotAllowed(PaymentError):
    """The actor may not do this with this organisation's money."""

    code = "forbidden"
    status = 403


class NotABuyer(PaymentError):
    """Only organisations that buy have a wallet to pay into."""

    code = "not_a_buyer"
    status = 422


class BadAmount(PaymentError):
    """Outside the least and the most that one payment may be. Details: `least_fen`, `most_fen`."""

    code = "amount_out_of_range"
    status = 422


class NotPayable(PaymentError):
    """The invoice has nothing left to be paid."""

    code = "invoice_not_payable"
    status = 409


class AlreadyUnderWay(PaymentError):
    """Another payment of the same invoice is not decided yet. Details: `payment`."""

    code = "payment_under_way"
    status = 409


class NotRefundable(PaymentError):
    """Only a settled top-up can be refunded."""

    code = "payment_not_refundable"
    status = 409


class BeyondPayment(PaymentError):
    """More than the payment less its refunds. Details: `most_fen`."""

    code = "refund_beyond_payment"
    status = 422


class BeyondWallet(PaymentError):
    """More than the wallet has free: the rest is spent, or held for bids. Details: `most_fen`."""

    code = "refund_beyond_wallet"
    status = 409


class NoSavedMethod(PaymentError):
    """Automatic top-up needs a saved card."""

    code = "no_saved_method"
    status = 409


class BadAutomatic(PaymentError):
    """Threshold, amount and monthly cap do not fit together."""

    code = "bad_automatic_top_up"
    status = 422


class Differs(Exception):
    """An object of Stripe's is not what our row asked for: another amount, currency or mode. Nobody is credited."""
