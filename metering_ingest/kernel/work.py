"""Measured work against billed work: does the device time of a deployment fit what it sold?

Only sums are judged, over at least `LEAST` requests of like shape: of honest single requests every tenth is 22 to
29 % off. Source: docs/reconciliation.md, "Measured work".
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

LEAST = 200
CASE = Fraction(15, 100)
FREEZE = Fraction(30, 100)
# How far the cost model is off in nine of ten honest shapes, where no device was measured.
MODEL_P90 = Fraction(29, 100)

TOO_FEW, WITHIN, SOFT, HARD = "too_few", "within", "soft", "hard"


@dataclass(frozen=True, slots=True)
class Rating:
    """Standard tokens that a deployment makes in a second of device time on this shape, as an interval."""

    low: Fraction
    high: Fraction

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise ValueError("a rating is an interval above zero")

    @classmethod
    def estimated(cls, st_per_second: Fraction, *, error: Fraction = MODEL_P90) -> Rating:
        """A rating that only the cost model gives, widened by the model's own error."""
        return cls(st_per_second / (1 + error), st_per_second * (1 + error))


@dataclass(frozen=True, slots=True)
class Work:
    """Sums of one deployment, shape bucket and window: requests, billed micro-ST, microseconds of device time."""

    requests: int
    micro_st: int
    gpu_micros: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement, with billed ÷ measured as an interval: above 1 more was billed than the devices worked for.

    `unbacked_micro_st` is what of the bill no measured work stands behind; only where that is hard.
    """

    state: str
    low: Fraction | None
    high: Fraction | None
    unbacked_micro_st: int = 0


def judge(work: Work, rating: Rating) -> Verdict:
    """Judge sums; within the rating's interval nothing is held against anybody.

    Work beyond the bill is the seller's own loss and freezes no money: it shows that the rating or the card is wrong.
    """
    if work.requests < LEAST or work.gpu_micros <= 0:
        return Verdict(TOO_FEW, None, None)
    low = Fraction(work.micro_st) / (work.gpu_micros * rating.high)
    high = Fraction(work.micro_st) / (work.gpu_micros * rating.low)
    beyond, short = low - 1, 1 - high
    off = max(beyond, short)
    state = HARD if off > FREEZE else SOFT if off > CASE else WITHIN
    unbacked = work.micro_st - int(work.micro_st / low) if state == HARD and beyond > 0 else 0
    return Verdict(state, low, high, unbacked)


def shape_bucket(prompt: int, completion: int) -> str:
    """The bucket of a request's shape: powers of two of its prompt and its output, as `p1024-g128`."""
    return f"p{_power(prompt)}-g{_power(completion)}"


def _power(count: int) -> int:
    """The greatest power of two that is not above the count; 0 for none."""
    return 1 << (count.bit_length() - 1) if count > 0 else 0
