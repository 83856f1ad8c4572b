"""Money of a contested count: what is frozen of whom, and what goes back to the buyer, in micro-yuan."""

from __future__ import annotations

from dataclasses import dataclass

from billing.kernel.rounding import divide_half_up


@dataclass(frozen=True, slots=True)
class Parts:
    """Where a gross amount lies: not closed yet, or closed and split as the day's close does it."""

    unbilled: int
    payable: int
    fee: int
    tax: int

    @property
    def closed(self) -> int:
        """What the day's close has taken out of unbilled."""
        return self.payable + self.fee + self.tax

    @property
    def gross(self) -> int:
        """What the buyer paid."""
        return self.unbilled + self.closed


def parts(gross: int, *, still_open: int, tax_bps: int, fee_bps: int) -> Parts:
    """A gross amount by where it lies; `still_open` is what of its allocation no day's close has taken.

    The open part goes first: it needs nobody's fee or tax back. Prices include tax: net = gross / (1 + rate).
    """
    unbilled = min(gross, still_open)
    closed = gross - unbilled
    net = divide_half_up(closed * 10_000, 10_000 + tax_bps)
    fee = divide_half_up(net * fee_bps, 10_000)
    return Parts(unbilled, net - fee, fee, closed - net)


def back(frozen: Parts, credited: int) -> Parts:
    """What of each part goes back to the buyer, so that they add up to `credited`; all of it gives all of each.

    :raises ValueError: less than nothing, or more than was frozen.
    """
    if not 0 <= credited <= frozen.gross:
        raise ValueError(f"{credited} of {frozen.gross}")
    if not credited:
        return Parts(0, 0, 0, 0)
    unbilled = credited * frozen.unbilled // frozen.gross
    closed = credited - unbilled
    if closed > frozen.closed:
        unbilled, closed = credited - frozen.closed, frozen.closed
    if not closed:
        return Parts(unbilled, 0, 0, 0)
    fee, tax = closed * frozen.fee // frozen.closed, closed * frozen.tax // frozen.closed
    payable = closed - fee - tax
    # Rounding down the others may ask a micro-yuan more of the payable than there is.
    over = max(0, payable - frozen.payable)
    fee_more = min(over, frozen.fee - fee)
    return Parts(unbilled, payable - over, fee + fee_more, tax + over - fee_more)
