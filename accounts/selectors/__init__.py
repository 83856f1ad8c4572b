"""Reads of accounts."""

from accounts.selectors import actors, audit, chain, clock, keys, members, organisations

__all__ = ["actors", "audit", "chain", "clock", "keys", "members", "organisations"]
