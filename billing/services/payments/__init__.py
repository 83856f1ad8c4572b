"""Payments by Stripe: attempts, webhooks, refunds, a saved card, and the nightly comparison."""

from billing.gateways.stripe_api import configured
from billing.services.payments import attempts, automatic, clearing, errors, reconciling, refunds, settling, webhooks
from billing.services.payments.reconciling import check, check_refund, look_at_undecided, tick

__all__ = [
    "attempts",
    "automatic",
    "check",
    "check_refund",
    "clearing",
    "configured",
    "errors",
    "look_at_undecided",
    "reconciling",
    "refunds",
    "settling",
    "tick",
    "webhooks",
]
