"""Cards by digest, remembered."""

from __future__ import annotations

from functools import lru_cache

from token_standard.cards import Card
from token_standard.catalogue import UnknownCard, card_by_digest


@lru_cache(maxsize=1024)  # senders choose the digest, so the memory is bounded
def card_of(digest: str) -> Card | None:
    """The card of a digest; None where the catalogue has none."""
    try:
        return card_by_digest(digest)
    except UnknownCard:
        return None
