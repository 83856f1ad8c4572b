"""Stripe's published test cards, and what happens to each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """What a test number does. `decline` is Stripe's decline code; `later` declines only when nobody is there."""

    brand: str = "visa"
    decline: str | None = None
    later: str | None = None
    authenticate: bool = False
    disputed: bool = False


CARDS = {
    "4242424242424242": Card(),
    "5555555555554444": Card(brand="mastercard"),
    "4000000000000002": Card(decline="generic_decline"),
    "4000000000009995": Card(decline="insufficient_funds"),
    "4000000000000341": Card(later="generic_decline"),
    "4000002760003184": Card(authenticate=True, later="authentication_required"),
    "4000002500003155": Card(authenticate=True),
    "4000000000000259": Card(disputed=True),
}
