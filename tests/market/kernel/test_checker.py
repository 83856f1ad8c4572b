"""The checker of a round accepts what the rules give, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.matching_engine import Breach, check, clear
from market.matching_engine.certificate_reading import Malformed, whole
from tests.market.kernel.books import EXAMPLES, Row, book, rows_of

SOURCE = Path(check.__code__.co_filename)


class TestCheck:
    @EXAMPLES
    @given(rows_of())
    def test_accepts_the_result_and_refuses_every_changed_field(self, rows: list[Row]) -> None:
        one = book(rows, collar_high=29)
        result = clear(one)
        check(one, result)

        changes: list[dict[str, Any]] = [{"collar_hit": not result.collar_hit}]
        for name in ("price", "low", "high", "volume", "welfare"):
            value = getattr(result, name)
            changes += [{name: 0 if value is None else value + step} for step in (1, -1)]
            changes += [] if value is None else [{name: None}]
        for place in range(len(rows)):
            for step in (1, -1):
                fill = result.fill.copy()
                fill[place] += step
                changes.append({"fill": fill})
        for change in changes:
            with pytest.raises(Breach):
                check(one, replace(result, **change))

    @EXAMPLES
    @given(rows_of(most=10), st.data())
    def test_refuses_lots_moved_from_one_order_to_another(self, rows: list[Row], data: Any) -> None:
        result = clear(book(rows))
        fill = result.fill.copy()
        given_up = [i for i, lots in enumerate(fill.tolist()) if lots]
        if not given_up:
            return
        giver = data.draw(st.sampled_from(given_up))
        takers = [i for i, row in enumerate(rows) if i != giver and row[0] == rows[giver][0]]
        if not takers:
            return
        taker = data.draw(st.sampled_from(takers))
        lots = data.draw(st.integers(1, int(fill[giver])))
        fill[giver] -= lots
        fill[taker] += lots

        with pytest.raises(Breach):
            check(book(rows), replace(result, fill=fill))

    @EXAMPLES
    @given(rows_of(most=10), st.data())
    def test_refuses_a_changed_order_unless_the_same_result_is_right_for_it(self, rows: list[Row], data: Any) -> None:
        if not rows:
            return
        result = clear(book(rows))
        place, field = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 3))
        value = data.draw(st.integers(0, 1) if field == 0 else st.integers(1, 40))
        row = list(rows[place])
        row[field] = value
        changed = book([*rows[:place], tuple(row), *rows[place + 1 :]])  # type: ignore[list-item]

        again = clear(changed)
        if again.fill.tolist() == result.fill.tolist() and replace(again, fill=result.fill) == result:
            check(changed, result)
        else:
            with pytest.raises(Breach):
                check(changed, result)

    def test_names_the_rule_that_does_not_hold(self) -> None:
        one = book([(0, 10, 5, 0), (1, 8, 5, 0)])

        with pytest.raises(Breach, match="floored midpoint"):
            check(one, replace(clear(one), price=10))

    def test_refuses_a_trade_in_which_somebody_loses(self) -> None:
        one = book([(0, 5, 1, 0), (1, 8, 1, 0)])
        forged = replace(clear(one), price=6, low=8, high=5, volume=1, welfare=-3, fill=np.array([1, 1]))

        with pytest.raises(Breach, match="no accepted order loses"):
            check(one, forged)

    def test_is_short_and_imports_nothing_of_the_engine(self) -> None:
        lines = SOURCE.read_text().splitlines()

        assert len(lines) <= 60
        assert not [line for line in lines if "import" in line and ("market" in line or "numpy" in line)]


class TestWholeNumbers:
    @pytest.mark.parametrize("value", [0, -3, 2**70, "0", "-3", "1900000"])
    def test_are_read(self, value: Any) -> None:
        assert whole(value) == int(value)

    @pytest.mark.parametrize("value", [1.0, 1_900_000.9, True, None, "00", "+1", " 1", "1_0", "1.0", "-0", "", "١"])
    def test_are_nothing_that_could_be_read_as_another(self, value: Any) -> None:
        with pytest.raises(Malformed):
            whole(value)
