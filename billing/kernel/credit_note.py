"""How much net and tax a credit note has: the cumulative target less the notes so far, for net and tax each.

The target of a line for so much given back is net = round(line's net x given back / line's amount), and tax = the rest.
It never falls, never passes the line, and is the line itself when all is given back; so the notes of an invoice, however
it is cut up, add up to the invoice and no further.
"""

from __future__ import annotations

from dataclasses import dataclass

from billing.kernel.rounding import divide_half_up, refuse_negative


class CreditExceedsInvoice(ValueError):
    """More would be given back than the line is for."""

    code = "credit_exceeds_invoice"


class NothingToCredit(ValueError):
    """A credit of nothing."""

    code = "nothing_to_credit"


@dataclass(frozen=True, slots=True)
class Amounts:
    """Fen, tax included in `amount`."""

    amount: int
    net: int
    tax: int

    def __post_init__(self) -> None:
        refuse_negative(amount=self.amount, net=self.net, tax=self.tax)
        assert self.amount == self.net + self.tax


NOTHING = Amounts(0, 0, 0)


def target(line: Amounts, given_back: int) -> Amounts:
    """What all notes on a line come to when so much of it is given back.

    :raises CreditExceedsInvoice: more than the line.
    """
    refuse_negative(given_back=given_back)
    if given_back > line.amount:
        raise CreditExceedsInvoice(f"{given_back} fen of a line of {line.amount}")
    if not given_back:
        return NOTHING
    net = divide_half_up(line.net * given_back, line.amount)
    return Amounts(given_back, net, given_back - net)


def next_note(line: Amounts, *, so_far: Amounts, amount: int) -> Amounts:
    """What the next note says of a line, of which earlier ones gave `so_far` back.

    :raises NothingToCredit: an amount that is not above zero.
    :raises CreditExceedsInvoice: more than is left of the line.
    """
    if amount <= 0:
        raise NothingToCredit(f"{amount} fen")
    whole = target(line, so_far.amount + amount)
    return Amounts(amount, whole.net - so_far.net, whole.tax - so_far.tax)
