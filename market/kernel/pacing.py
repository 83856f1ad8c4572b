"""How fast an allocation may be drawn: what comes faster waits, and is never a shortfall.

Quantities are micro-ST. Source: docs/market-rules.md, "Draw rate".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

MINUTE = timedelta(seconds=60)
# How much faster than evenly over its window; a grade that is not here is drawn as one likes until the end.
BURST = {"realtime": Fraction(2), "interactive": Fraction(3, 2)}
# Model tokens a second that a stream of the grade is promised.
SPEED = {"realtime": 40, "interactive": 15}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was taken at an instant and not given back."""

    at: datetime
    micro_st: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What a minute may take, and how many requests may run at once."""

    minute_micro_st: int
    streams: int


def pace(grade: str, bought: Iterable[tuple[int, int]], *, st_per_output_token: Fraction) -> Pace | None:
    """The pace of purchases of one product and deployment together; None where the grade has none.

    `bought` are pairs of micro-ST and the seconds of the window that were left
    when they were bought, ≥ 1.
    """
    if grade not in BURST:
        return None
    per_second = BURST[grade] * sum(Fraction(micro_st, seconds) for micro_st, seconds in bought)
    of_a_stream = SPEED[grade] * st_per_output_token * 10**6
    return Pace(int(per_second * 60), max(1, -(-per_second // of_a_stream)))


def wait(minute_micro_st: int, drawn: Sequence[Drawn], wanted: int, *, now: datetime) -> timedelta | None:
    """How long a request must wait so that no minute takes more than its share; None where it may run.

    `drawn` are the draws of the last minute (later ones may be among them), in
    any order. A request that is larger than a whole minute's share may run
    when nothing else was drawn for a minute.
    """
    latest = [one for one in drawn if one.micro_st and one.at > now - MINUTE]
    excess = sum(one.micro_st for one in latest) + wanted - minute_micro_st
    if not latest or excess <= 0:
        return None
    for one in sorted(latest, key=lambda one: one.at):
        excess -= one.micro_st
        leaves = one.at
        if excess <= 0:
            break
    return leaves + MINUTE - now
