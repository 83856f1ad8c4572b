"""Cells of a document's tables: what a cell holds and how it is written, the same for CSV and XLSX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "number", "day"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `number` cells hold plain decimals, `day` cells ISO dates. Width in characters."""

    name: str
    kind: Kind = "text"
    width: int = 14


Row = dict[str, str]  # by column name; what is absent is empty


def neutral(value: str) -> str:
    """A text cell that no spreadsheet takes for a formula; numbers must not go through here."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
