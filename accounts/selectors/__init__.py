"""Reads of accounts."""

from accounts.selectors import actors, audit, clock, keys, members, organisations

__all__ = ["actors", "audit", "clock", "keys", "members", "organisations"]
