"""Whoever goes past the triggers is found, by rule and by row."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from accounts.kernel import ids
from ledger import selectors, services
from ledger.services import HoldChange
from tests.ledger.books import NOW, Books, change, draft, sql

pytestmark = pytest.mark.django_db


@pytest.fixture
def lively(books: Books) -> Books:
    """A wallet topped up, held, split, captured and released."""
    books.top_up(100, key="top_up")
    hold = books.hold(60, key="hold")
    child = change(hold, "split", 40, key="split")
    change(hold, "release", 5)
    assert child
    services.capture(
        hold_changes=[HoldChange("post", child, "post", 30, transfer_key="usage")],
        drafts=[draft(books.wallet, books.unbilled, 30, key="usage")],
        now=NOW,
    )
    assert selectors.verify() == []
    return books


def tamper(statement: str, *values: Any) -> None:
    """As the tables' owner with the triggers off."""
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("SET LOCAL session_replication_role = replica")
    sql(statement, *values)
    sql("SET LOCAL session_replication_role = DEFAULT")


def transfer(key: str) -> UUID:
    return sql("SELECT id FROM ledger_transfer WHERE key = %s", key)[0][0]


def event_hold(key: str) -> UUID:
    return sql("SELECT hold_id FROM ledger_holdevent WHERE key = %s", key)[0][0]


def subjects(rule: str) -> set[str]:
    return {breach.subject for breach in selectors.verify() if breach.rule == rule}


class TestVerify:
    def test_names_an_unbalanced_transfer(self, lively: Books) -> None:
        tamper("UPDATE ledger_entry SET amount_micros = 101 WHERE account_id = %s", lively.cash)

        assert subjects("debits = credits in each transfer") == {f"transfer {transfer('top_up')}"}
        assert subjects("all accounts of a currency add up to 0") == {"currency CNY"}
        assert subjects("a transfer is what its hash was taken of") == {f"transfer {transfer('top_up')}"}

    def test_names_a_transfer_without_entries(self, lively: Books) -> None:
        tamper("DELETE FROM ledger_entry WHERE transfer_id = %s", transfer("top_up"))

        assert subjects("debits = credits in each transfer") == {f"transfer {transfer('top_up')}"}

    @pytest.mark.parametrize("column", ["reason", "kind"])
    def test_names_a_transfer_that_reads_otherwise_now(self, lively: Books, column: str) -> None:
        tamper(f"UPDATE ledger_transfer SET {column} = 'other' WHERE key = 'usage'")

        assert subjects("a transfer is what its hash was taken of") == {f"transfer {transfer('usage')}"}

    @pytest.mark.parametrize(
        "change_it",
        [
            lambda books: tamper(
                "UPDATE ledger_entry SET account_id = %s WHERE account_id = %s", ids.new(), books.cash
            ),
            lambda books: tamper("UPDATE ledger_account SET currency = 'XTS' WHERE id = %s", books.cash),
        ],
    )
    def test_names_an_entry_without_its_account(self, lively: Books, change_it: Callable[[Books], None]) -> None:
        [(entry,)] = sql("SELECT id FROM ledger_entry WHERE account_id = %s", lively.cash)

        change_it(lively)

        assert subjects("an entry has a transfer and an account of one currency") == {f"entry {entry}"}

    def test_names_a_stored_total_that_is_not_its_entries(self, lively: Books) -> None:
        tamper("UPDATE ledger_account SET posted_micros = posted_micros + 1 WHERE id = %s", lively.wallet)

        assert subjects("stored total = sum of entries") == {f"account {lively.wallet}"}

    def test_names_a_held_total_that_is_not_its_holds(self, lively: Books) -> None:
        tamper("UPDATE ledger_account SET held_micros = held_micros + 1 WHERE id = %s", lively.wallet)

        assert subjects("held total = sum of the rests of holds") == {f"account {lively.wallet}"}

    def test_names_a_rest_that_is_not_its_events(self, lively: Books) -> None:
        tamper("UPDATE ledger_hold SET rest_micros = rest_micros + 1 WHERE id = %s", event_hold("hold"))

        assert subjects("rest of a hold = sum of its events") == {f"hold {event_hold('hold')}"}
        assert subjects("held total = sum of the rests of holds") == {f"account {lively.wallet}"}

    def test_names_a_child_that_was_not_split(self, lively: Books) -> None:
        child = event_hold("post")

        tamper("UPDATE ledger_holdevent SET amount_micros = 39 WHERE key = 'split'")

        assert subjects("a child holds what was split from its parent") == {f"hold {child}"}

    def test_names_a_post_that_took_no_money(self, lively: Books) -> None:
        tamper("UPDATE ledger_holdevent SET amount_micros = 31 WHERE key = 'post'")

        assert subjects("what a hold posts leaves its account") == {f"transfer {transfer('usage')}"}

    def test_names_an_account_below_its_floor(self, lively: Books) -> None:
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        sql("ALTER TABLE ledger_account DROP CONSTRAINT ledger_account_floor")

        tamper("UPDATE ledger_account SET posted_micros = -1 WHERE id = %s", lively.wallet)

        assert subjects("no account is below its floor") == {f"account {lively.wallet}"}

    def test_has_each_of_its_rules_broken_above(self) -> None:
        from pathlib import Path

        from ledger.selectors.breaches import RULES

        here = Path(__file__).read_text()
        assert [rule for rule in RULES if f'"{rule}"' not in here] == []
