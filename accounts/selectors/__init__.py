"""Reads of accounts."""

from accounts.selectors import actors, clock, organisations

__all__ = ["actors", "clock", "organisations"]
