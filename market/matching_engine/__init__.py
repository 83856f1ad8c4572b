"""The matching engine: one plain book in, one price and all fills out. Pure, exact, integers only."""

from market.matching_engine.book import Book, BookInvalid, BookTooLarge, Result, clip
from market.matching_engine.check import Breach, check
from market.matching_engine.clear import clear

__all__ = ["Book", "BookInvalid", "BookTooLarge", "Breach", "Result", "check", "clear", "clip"]
