"""Usage first, then what was not drawn: together they never go beyond what was bought."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from billing.kernel.charges import ChargedPart, Undrawn, place

A, B, C = (UUID(int=n) for n in (1, 2, 3))


class TestPlace:
    def test_takes_its_own_allocation_first(self) -> None:
        assert place([Undrawn(1, B, 5), Undrawn(2, A, 3)], {A: 9, B: 9}) == [ChargedPart(1, B, 5), ChargedPart(2, A, 3)]

    def test_then_what_the_others_have_left_in_their_order(self) -> None:
        assert place([Undrawn(1, B, 5)], {A: 0, B: 2, C: 9}) == [ChargedPart(1, B, 2), ChargedPart(1, C, 3)]

    def test_no_charge_takes_what_is_another_ones_own(self) -> None:
        assert place([Undrawn(1, A, 5), Undrawn(2, B, 5)], {A: 2, B: 5, C: 3}) == [
            ChargedPart(1, A, 2), ChargedPart(1, C, 3), ChargedPart(2, B, 5),
        ]  # fmt: skip

    def test_drops_what_late_usage_has_taken(self) -> None:
        assert place([Undrawn(1, A, 5)], {A: 1}) == [ChargedPart(1, A, 1)]

    @given(st.lists(st.integers(0, 50), min_size=3, max_size=3), st.lists(st.integers(0, 50), min_size=3, max_size=3))
    def test_adds_up(self, charged: list[int], left: list[int]) -> None:
        keys = (A, B, C)
        rests = dict(zip(keys, left, strict=True))
        parts = place([Undrawn(n, keys[n], q) for n, q in enumerate(charged)], rests)

        assert sum(part.micro_st for part in parts) == min(sum(charged), sum(left))
        for key in keys:
            assert sum(part.micro_st for part in parts if part.allocation_id == key) <= rests[key]
        for n, q in enumerate(charged):
            assert sum(part.micro_st for part in parts if part.charge_id == n) <= q
        assert len({(part.charge_id, part.allocation_id) for part in parts}) == len(parts)
        assert all(part.micro_st > 0 for part in parts)
