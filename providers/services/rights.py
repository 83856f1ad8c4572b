"""Who may offer capacity."""

from __future__ import annotations

from accounts.kernel.actor import Actor
from providers.kernel.errors import Forbidden


def check(actor: Actor) -> None:
    """Refuse whoever does not act for a provider with the right to offer.

    :raises Forbidden: see there.
    """
    if not actor.is_provider:
        raise Forbidden("Only a provider organisation offers capacity.")
    if not actor.can("offers:write"):
        raise Forbidden("Your role may not change offers.")
