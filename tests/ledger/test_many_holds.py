"""Hold changes by the thousand, and alone, on one connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from accounts.kernel import ids
from ledger import selectors, services
from ledger.services import HoldChange, HoldDraft
from tests.ledger.books import NOW, Books, change, new_key, rest, sql

MANY = 2_000


def _place(books: Books, size: int = MANY) -> list[UUID]:
    return services.place_holds([HoldDraft(new_key(), books.wallet, 1_000) for _ in range(size)], now=NOW)


def _split_and_release(holds: list[UUID]) -> list[UUID]:
    """Children of 600 each; 300 go back, 100 stay."""
    splits = [HoldChange(new_key(), hold, "split", 600, child_expires_at=NOW) for hold in holds]
    releases = [HoldChange(new_key(), hold, "release", 300) for hold in holds]
    children = services.change_holds([*splits, *releases], now=NOW)[: len(holds)]
    return [child for child in children if child]


def _rows_read_by_scans() -> int:
    """Rows of the two tables that this transaction read without an index so far."""
    found = sql(
        "SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname IN ('ledger_hold', 'ledger_holdevent')"
    )
    return int(found[0][0])


@pytest.fixture
def rich(books: Books) -> Books:
    books.top_up(100 * 1_000 * MANY)
    return books


class TestManyHolds:
    def test_leave_each_hold_and_the_total_as_one_by_one(self, rich: Books) -> None:
        holds = _place(rich)

        children = _split_and_release(holds)

        assert set(selectors.hold_rests(holds).values()) == {100}
        assert set(selectors.hold_rests(children).values()) == {600}
        assert rich.totals()[1] == 700 * MANY
        assert selectors.verify() == []

    def test_give_each_account_its_own_part(self, rich: Books) -> None:
        other = Books()
        other.top_up(10_000)
        mine, split = rich.hold(1_000), rich.hold(500)
        theirs = other.hold(2_000)

        services.change_holds(
            [
                HoldChange(new_key(), mine, "void", None),
                HoldChange(new_key(), split, "split", 200),
                HoldChange(new_key(), theirs, "increase", 700),
                HoldChange(new_key(), theirs, "decrease", 100),
            ],
            now=NOW,
        )

        assert (rich.totals()[1], other.totals()[1]) == (500, 2_600)
        assert (rest(mine), rest(split), rest(theirs)) == (0, 300, 2_600)

    def test_keep_what_only_splits_leave_in_the_account(self, rich: Books) -> None:
        holds = _place(rich, 10)

        services.change_holds([HoldChange(new_key(), hold, "split", 1_000) for hold in holds], now=NOW)

        assert rich.totals()[1] == 10_000
        assert set(selectors.hold_rests(holds).values()) == {0}

    def test_tell_holds_that_are_not_there_from_those_that_are(self, rich: Books) -> None:
        holds, nobody = _place(rich, 3), ids.new()

        assert selectors.hold_rests([nobody, *holds]) == dict.fromkeys(holds, 1_000)
        assert selectors.hold_rests([]) == {}

    def test_keep_texts_as_they_are(self, rich: Books) -> None:
        key = 'a"b\\c,{d} %s %% \U0001f600 –'
        hold = rich.hold(1_000, key=key)
        split = change(hold, "split", 400, key=f"{key} split")

        assert sql("SELECT key FROM ledger_holdevent WHERE hold_id = %s ORDER BY id", hold) == [
            (key,),
            (f"{key} split",),
        ]
        assert change(hold, "split", 400, key=f"{key} split") == split


class TestPlans:
    def test_one_change_after_many_reads_no_whole_table(self, rich: Books) -> None:
        holds = _place(rich)
        _split_and_release(holds)
        before = _rows_read_by_scans()

        change(holds[0], "split", 50)
        change(holds[0], "release")
        rich.hold(1_000)

        assert _rows_read_by_scans() == before

    @pytest.mark.parametrize("step", [_place, lambda books: _split_and_release(_place(books, 500))])
    def test_many_after_one_find_each_row_by_its_index(self, rich: Books, step: Callable[[Books], Any]) -> None:
        _place(rich)
        change(rich.hold(1_000), "release")
        before = _rows_read_by_scans()

        step(rich)

        # A scan for each of many holds would read millions.
        assert _rows_read_by_scans() - before <= 10 * MANY
