"""Reads of accounts."""

from accounts.selectors import actors, clock, keys, organisations

__all__ = ["actors", "clock", "keys", "organisations"]
