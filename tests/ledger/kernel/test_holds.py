from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.errors import BadAmount, HoldClosed, HoldExhausted, UnknownHold
from ledger.kernel.holds import HoldChange, held_changes, resolve

HOLD, WALLET = UUID(int=1), UUID(int=2)


def change(action: str, amount: int | None) -> HoldChange:
    return HoldChange("k", HOLD, action, amount)  # type: ignore[arg-type]


class TestResolve:
    def test_makes_the_changes_one_after_the_other(self) -> None:
        steps = [change("split", 60), change("increase", 5), change("release", 15), change("void", None)]

        assert resolve(steps, {HOLD: 100}) == [60, 5, 15, 30]

    @pytest.mark.parametrize("action", ["release", "void", "expire"])
    def test_reads_no_amount_as_all_the_rest(self, action: str) -> None:
        assert resolve([change(action, None)], {HOLD: 7}) == [7]

    @pytest.mark.parametrize("action", ["increase", "decrease", "split", "post"])
    def test_wants_an_amount_for_all_else(self, action: str) -> None:
        with pytest.raises(BadAmount):
            resolve([change(action, None)], {HOLD: 7})

    @pytest.mark.parametrize("action", ["void", "expire"])
    def test_refuses_to_void_or_expire_a_part(self, action: str) -> None:
        with pytest.raises(BadAmount):
            resolve([change(action, 3)], {HOLD: 7})

    @pytest.mark.parametrize("action", ["increase", "decrease", "split", "post", "release", "void", "expire"])
    def test_never_changes_a_resolved_hold(self, action: str) -> None:
        with pytest.raises(HoldClosed):
            resolve([change("release", None), change(action, 1)], {HOLD: 7})

    def test_refuses_a_hold_that_is_not_there(self) -> None:
        with pytest.raises(UnknownHold):
            resolve([change("release", 1)], {})

    def test_refuses_a_hold_beyond_all_amounts(self) -> None:
        with pytest.raises(BadAmount):
            resolve([change("increase", 2**61)], {HOLD: 2**61})

    @given(rest=st.integers(1, 1000), takes=st.lists(st.integers(1, 400), max_size=6))
    def test_never_takes_more_than_is_held(self, rest: int, takes: list[int]) -> None:
        steps = [change("post", amount) for amount in takes]

        if sum(takes) <= rest:
            assert resolve(steps, {HOLD: rest}) == takes
        else:
            with pytest.raises((HoldExhausted, HoldClosed)):
                resolve(steps, {HOLD: rest})


class TestHeldChanges:
    def test_leave_splits_out(self) -> None:
        steps = [change("split", 60), change("increase", 5), change("post", 15)]

        assert held_changes(steps, [60, 5, 15], {HOLD: WALLET}) == {WALLET: -10}
