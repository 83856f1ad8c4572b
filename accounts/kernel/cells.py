"""Cells of files that people open in a spreadsheet."""

from __future__ import annotations


def neutral(value: str) -> str:
    """A text cell that no spreadsheet takes for a formula; numbers must not go through here."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
