"""The cumulative rule: notes never pass the invoice, and giving all back leaves exactly nothing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kernel.credit_note import (
    NOTHING,
    Amounts,
    CreditExceedsInvoice,
    NothingToCredit,
    next_note,
    target,
)
from billing.kernel.rounding import net_and_tax


@st.composite
def lines(draw: st.DrawFn) -> Amounts:
    """A line at any rate, whose tax may be off by what largest remainders move."""
    amount = draw(st.integers(1, 10**9))
    net, tax = net_and_tax(amount, draw(st.integers(0, 9_999)))
    moved = draw(st.integers(-min(1, tax), min(1, net)))
    return Amounts(amount, net - moved, tax + moved)


@st.composite
def cut_up(draw: st.DrawFn) -> tuple[Amounts, list[int]]:
    """A line, and its whole amount in any pieces."""
    line = draw(lines())
    cuts = sorted({0, line.amount, *draw(st.lists(st.integers(0, line.amount), max_size=30))})
    return line, [b - a for a, b in pairwise(cuts)]


class TestNotes:
    @given(cut_up())
    def test_of_all_of_a_line_add_up_to_it_exactly_however_it_is_cut(self, given_: tuple[Amounts, list[int]]) -> None:
        line, pieces = given_
        so_far = NOTHING
        for piece in pieces:
            note = next_note(line, so_far=so_far, amount=piece)
            assert note.amount == piece and note.net >= 0 and note.tax >= 0
            so_far = Amounts(so_far.amount + note.amount, so_far.net + note.net, so_far.tax + note.tax)
            assert so_far.net <= line.net and so_far.tax <= line.tax

        assert so_far == line

    @given(lines(), st.integers(0, 10**9), st.integers(1, 10**9))
    def test_never_pass_the_line(self, line: Amounts, given_back: int, more: int) -> None:
        so_far = target(line, min(given_back, line.amount))

        with pytest.raises(CreditExceedsInvoice):
            next_note(line, so_far=so_far, amount=line.amount - so_far.amount + more)

    @given(lines(), st.data())
    def test_depend_on_what_was_given_back_only_not_on_the_pieces(self, line: Amounts, data: st.DataObject) -> None:
        first = data.draw(st.integers(0, line.amount - 1))
        rest = data.draw(st.integers(1, line.amount - first))

        note = next_note(line, so_far=target(line, first), amount=rest)

        assert note.net == target(line, first + rest).net - target(line, first).net

    @pytest.mark.parametrize("amount", [0, -1])
    def test_of_nothing_are_refused(self, amount: int) -> None:
        with pytest.raises(NothingToCredit):
            next_note(Amounts(106, 100, 6), so_far=NOTHING, amount=amount)

    def test_share_net_and_tax_as_the_line_does(self) -> None:
        line = Amounts(10_600, 10_000, 600)

        assert next_note(line, so_far=NOTHING, amount=5_300) == Amounts(5_300, 5_000, 300)
        assert [next_note(line, so_far=target(line, n), amount=1).tax for n in range(17)].count(1) == 1
