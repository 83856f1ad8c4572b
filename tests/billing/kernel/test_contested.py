"""Frozen money adds up, and so does what goes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kernel.contested import Parts, back, parts

AMOUNTS = st.integers(0, 10**12)
BPS = st.integers(0, 3_000)


@given(AMOUNTS, AMOUNTS, BPS, BPS)
def test_parts_add_up_and_take_the_open_part_first(gross: int, still_open: int, tax: int, fee: int) -> None:
    found = parts(gross, still_open=still_open, tax_bps=tax, fee_bps=fee)
    assert found.gross == gross
    assert found.unbilled == min(gross, still_open)
    assert min(found.payable, found.fee, found.tax) >= 0


@given(AMOUNTS, AMOUNTS, BPS, BPS, st.data())
def test_what_goes_back_adds_up_and_never_passes_a_part(
    gross: int, still_open: int, tax: int, fee: int, data: st.DataObject
) -> None:
    frozen = parts(gross, still_open=still_open, tax_bps=tax, fee_bps=fee)
    credited = data.draw(st.integers(0, gross))
    given_back = back(frozen, credited)
    assert given_back.gross == credited
    for name in ("unbilled", "payable", "fee", "tax"):
        assert 0 <= getattr(given_back, name) <= getattr(frozen, name)
    assert back(frozen, gross) == frozen
    assert back(frozen, 0) == Parts(0, 0, 0, 0)


def test_a_closed_amount_splits_as_the_days_close_does() -> None:
    # 106 yuan with 6 % in it: 100 net, 1 % fee.
    assert parts(106_000_000, still_open=0, tax_bps=600, fee_bps=100) == Parts(0, 99_000_000, 1_000_000, 6_000_000)


@pytest.mark.parametrize("credited", [-1, 11])
def test_more_than_was_frozen_is_refused(credited: int) -> None:
    with pytest.raises(ValueError, match="of 10"):
        back(Parts(10, 0, 0, 0), credited)
