"""Each constraint, unique index and trigger of the ledger, broken once by plain SQL and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, transaction

from accounts.kernel import ids
from ledger import services
from tests.ledger.books import NOW, Books, change, sql

pytestmark = pytest.mark.django_db

_ACCOUNT = {
    "id": None, "organisation_id": None, "kind": "wallet", "currency": "XTS", "normal_side": "credit",
    "stored": True, "posted_micros": 0, "held_micros": 0, "floor_micros": 0,
}  # fmt: skip


@pytest.fixture
def funded(books: Books) -> Books:
    books.top_up(100, key="top_up")
    return books


def refused(breach: Callable[[], Any]) -> str:
    """The name of the constraint that refuses; the transaction goes on."""
    sql("SET CONSTRAINTS ALL IMMEDIATE")  # no check may wait: it would stand in the way of ALTER and TRUNCATE
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        breach()
        sql("SET CONSTRAINTS ALL IMMEDIATE")
    return caught.value.__cause__.diag.constraint_name  # type: ignore[union-attr]


def insert(table: str, **values: Any) -> None:
    names = ", ".join(values)
    sql(f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(values))})", *values.values())


def account(**values: Any) -> None:
    insert("ledger_account", **{**_ACCOUNT, "id": ids.new(), **values})


def transfer(
    *legs: tuple[UUID, str, int], first: int = 0, step: int = 1, transfer_id: UUID | None = None, **values: Any
) -> None:
    """A transfer and its entries by one statement, as the services write it."""
    made = {"id": transfer_id or ids.new(), "key": str(ids.new()), "kind": "test", "currency": "CNY", **values}
    entries = [(made["id"], first + step * i, *leg) for i, leg in enumerate(legs)]
    sql(
        "WITH made AS (INSERT INTO ledger_transfer (id, key, kind, currency, reason, content_hash, created_at) "
        "VALUES (%s, %s, %s, %s, '', '', now())) "
        "INSERT INTO ledger_entry (transfer_id, position, account_id, direction, amount_micros) VALUES "
        + ", ".join(["(%s, %s, %s, %s, %s)"] * len(entries)),
        made["id"], made["key"], made["kind"], made["currency"], *(value for entry in entries for value in entry),
    )  # fmt: skip


def events(*rows: dict[str, Any]) -> None:
    """Hold events by one statement."""
    columns = ("hold_id", "kind", "amount_micros", "transfer_id", "child_id", "key")
    full = [{"transfer_id": None, "child_id": None, "key": str(ids.new()), **row} for row in rows]
    sql(
        f"INSERT INTO ledger_holdevent ({', '.join(columns)}, created_at) VALUES "
        + ", ".join(["(%s, %s, %s, %s, %s, %s, now())"] * len(full)),
        *(row[column] for row in full for column in columns),
    )


def hold(*, parent: UUID | None = None, rest: int = 5, placed: int | None = 5, **values: Any) -> None:
    """A hold, and its placing by the same statement."""
    made = {"id": ids.new(), "currency": "CNY", **values}
    insert_hold = (
        "INSERT INTO ledger_hold (id, account_id, currency, parent_id, rest_micros, created_at) "
        "VALUES (%s, %s, %s, %s, %s, now())"
    )
    row = [made["id"], made["account_id"], made["currency"], parent, rest]
    if placed is None:
        sql(insert_hold, *row)
    else:
        sql(
            f"WITH made AS ({insert_hold}) INSERT INTO ledger_holdevent (hold_id, kind, amount_micros, key, created_at) "
            "VALUES (%s, 'place', %s, %s, now())",
            *row, made["id"], placed, str(ids.new()),
        )  # fmt: skip


class TestAccounts:
    @pytest.mark.parametrize(
        ("constraint", "values"),
        [
            ("ledger_account_currency", {"currency": "yuan"[:3]}),
            ("ledger_account_currency", {"currency": "X1S"}),
            ("ledger_account_kind", {"kind": "piggy_bank"}),
            ("ledger_account_kind", {"stored": False}),
            ("ledger_account_kind", {"kind": "rounding"}),
            ("ledger_account_side", {"normal_side": "debit"}),
            ("ledger_account_side", {"normal_side": "left"}),
            ("ledger_account_credit_limit", {"floor_micros": 1}),
            ("ledger_account_credit_limit", {"floor_micros": -(2**62)}),
            ("ledger_account_not_stored", {"kind": "rounding", "stored": False, "floor_micros": -1}),
            ("ledger_account_total", {"posted_micros": 1}),
            ("ledger_account_total", {"held_micros": 1, "floor_micros": -1}),
        ],
    )
    def test_refuse_what_they_cannot_be(self, constraint: str, values: dict[str, Any]) -> None:
        assert refused(lambda: account(**values)) == constraint

    def test_are_one_a_party_kind_and_currency(self) -> None:
        account()

        assert refused(account) == "ledger_account_once"

    def test_belong_to_an_organisation_that_is_there(self) -> None:
        assert "organisation_id" in refused(lambda: account(organisation_id=ids.new()))

    def test_never_pass_their_floor_by_entries(self, funded: Books) -> None:
        legs = (funded.wallet, "debit", 101), (funded.unbilled, "credit", 101)

        assert refused(lambda: transfer(*legs)) == "ledger_account_floor"

    def test_never_pass_their_floor_by_holds(self, funded: Books) -> None:
        assert refused(lambda: hold(account_id=funded.wallet, rest=101, placed=101)) == "ledger_account_floor"

    def test_never_leave_the_range_of_amounts(self, funded: Books) -> None:
        legs = (funded.cash, "debit", 2**62 - 1), (funded.wallet, "credit", 2**62 - 1)

        assert refused(lambda: transfer(*legs)) == "ledger_account_bounds"

    def test_never_hold_less_than_nothing(self, funded: Books) -> None:
        def breach() -> None:
            sql("ALTER TABLE ledger_account DISABLE TRIGGER ledger_account_total")
            sql("UPDATE ledger_account SET held_micros = -1 WHERE id = %s", funded.wallet)

        assert refused(breach) == "ledger_account_held"

    @pytest.mark.parametrize("total", ["posted_micros", "held_micros"])
    def test_have_totals_that_nobody_sets(self, funded: Books, total: str) -> None:
        update = f"UPDATE ledger_account SET {total} = {total} WHERE id = %s"

        assert refused(lambda: sql(update, funded.wallet)) == "ledger_account_total"

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM ledger_account",
            "TRUNCATE ledger_account CASCADE",
            "UPDATE ledger_account SET currency = 'XTS'",
            "UPDATE ledger_account SET organisation_id = NULL",
            "UPDATE ledger_account SET id = id",
            "UPDATE ledger_account SET kind = 'collateral'",
            "UPDATE ledger_account SET normal_side = 'debit'",
            "UPDATE ledger_account SET stored = false",
        ],
    )
    def test_stay_what_they_are(self, funded: Books, statement: str) -> None:
        assert refused(lambda: sql(statement)) == "ledger_account_kept"


class TestTransfers:
    @pytest.mark.parametrize("table", ["ledger_transfer", "ledger_entry", "ledger_holdevent"])
    @pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
    def test_and_events_are_never_changed(self, funded: Books, table: str, statement: str) -> None:
        assert refused(lambda: sql(statement.format(table))).endswith("_append_only")

    def test_have_a_key_of_their_own(self, funded: Books) -> None:
        legs = (funded.cash, "debit", 5), (funded.wallet, "credit", 5)

        assert refused(lambda: transfer(*legs, key="top_up")) == "ledger_transfer_key"

    @pytest.mark.parametrize(
        ("constraint", "values"),
        [
            ("ledger_transfer_currency", {"currency": "cny"}),
            ("ledger_transfer_kind", {"kind": "two\nlines"}),
            ("ledger_transfer_kind", {"kind": ""}),
        ],
    )
    def test_refuse_what_they_cannot_be(self, funded: Books, constraint: str, values: dict[str, Any]) -> None:
        legs = (funded.cash, "debit", 5), (funded.wallet, "credit", 5)

        assert refused(lambda: transfer(*legs, **values)) == constraint

    def test_balance(self, funded: Books) -> None:
        legs = (funded.cash, "debit", 5), (funded.wallet, "credit", 4)

        assert refused(lambda: transfer(*legs)) == "ledger_transfer_balanced"

    def test_have_two_legs(self, funded: Books) -> None:
        assert refused(lambda: transfer((funded.cash, "debit", 5))) == "ledger_transfer_balanced"

    def test_are_written_with_their_entries(self) -> None:
        values = {"key": "k", "kind": "test", "currency": "CNY", "reason": "", "content_hash": b"", "created_at": NOW}

        assert refused(lambda: insert("ledger_transfer", id=ids.new(), **values)) == "ledger_transfer_balanced"

    @pytest.mark.parametrize(("first", "step"), [(1, 1), (0, 2), (-1, 1)])
    def test_number_their_entries_from_nought(self, funded: Books, first: int, step: int) -> None:
        legs = (funded.cash, "debit", 5), (funded.wallet, "credit", 5)

        assert refused(lambda: transfer(*legs, first=first, step=step)) == "ledger_transfer_balanced"

    def test_take_no_entries_later(self, funded: Books) -> None:
        [(old,)] = sql("SELECT id FROM ledger_transfer WHERE key = 'top_up'")

        def breach() -> None:
            sql(
                "INSERT INTO ledger_entry (transfer_id, position, account_id, direction, amount_micros) "
                "VALUES (%(t)s, 0, %(c)s, 'debit', 5), (%(t)s, 1, %(w)s, 'credit', 5)".replace("%(t)s", f"'{old}'")
                .replace("%(c)s", f"'{funded.cash}'")
                .replace("%(w)s", f"'{funded.wallet}'")
            )

        assert refused(breach) == "ledger_entry_position"

    @pytest.mark.parametrize("amount", [0, -5, 2**62])
    def test_move_positive_amounts(self, funded: Books, amount: int) -> None:
        legs = (funded.cash, "debit", amount), (funded.wallet, "credit", amount)

        assert refused(lambda: transfer(*legs)) == "ledger_entry_amount"

    def test_know_two_directions(self, funded: Books) -> None:
        legs = (funded.cash, "left", 5), (funded.wallet, "credit", 5)

        assert refused(lambda: transfer(*legs)) == "ledger_entry_direction"

    def test_stay_in_one_currency(self, funded: Books) -> None:
        foreign = services.open_account(organisation_id=funded.buyer, kind="wallet", currency="XTS")
        legs = (funded.cash, "debit", 5), (foreign, "credit", 5)

        assert refused(lambda: transfer(*legs)) == "ledger_entry_currency"

    def test_name_accounts_that_are_there(self, funded: Books) -> None:
        legs = (funded.cash, "debit", 5), (ids.new(), "credit", 5)

        assert refused(lambda: transfer(*legs)) == "ledger_entry_currency"

    def test_are_there_before_their_entries(self, funded: Books) -> None:
        def breach() -> None:
            nowhere = ids.new()
            sql(
                "INSERT INTO ledger_entry (transfer_id, position, account_id, direction, amount_micros) "
                "VALUES (%s, 0, %s, 'debit', 5), (%s, 1, %s, 'credit', 5)",
                nowhere, funded.cash, nowhere, funded.wallet,
            )  # fmt: skip

        assert refused(breach) == "ledger_entry_currency"


class TestHolds:
    def test_are_placed_by_the_statement_that_makes_them(self, funded: Books) -> None:
        assert refused(lambda: hold(account_id=funded.wallet, placed=None)) == "ledger_hold_placed"

    def test_start_with_what_was_placed(self, funded: Books) -> None:
        assert refused(lambda: hold(account_id=funded.wallet, rest=6)) == "ledger_hold_placed"

    def test_without_a_parent_are_placed_under_a_key(self, funded: Books) -> None:
        def breach() -> None:
            made = ids.new()
            sql(
                "WITH made AS (INSERT INTO ledger_hold (id, account_id, currency, rest_micros, created_at) "
                "VALUES (%s, %s, 'CNY', 5, now())) "
                "INSERT INTO ledger_holdevent (hold_id, kind, amount_micros, created_at) VALUES (%s, 'place', 5, now())",
                made, funded.wallet, made,
            )  # fmt: skip

        assert refused(breach) == "ledger_hold_placed"

    def test_are_placed_once(self, funded: Books) -> None:
        made = funded.hold(5)

        breach = {"hold_id": made, "kind": "place", "amount_micros": 5}
        assert refused(lambda: events(breach)) == "ledger_holdevent_placed_once"

    def test_need_an_account_with_a_total(self, funded: Books) -> None:
        assert refused(lambda: hold(account_id=funded.cash)) == "ledger_account_not_stored"
        assert refused(lambda: hold(account_id=ids.new())) == "ledger_hold_account"

    def test_are_in_the_currency_of_their_account(self, funded: Books) -> None:
        assert refused(lambda: hold(account_id=funded.wallet, currency="XTS")) == "ledger_hold_account"

    @pytest.mark.parametrize("rest", [-1, 2**62])
    def test_have_a_rest_in_the_range_of_amounts(self, funded: Books, rest: int) -> None:
        assert refused(lambda: hold(account_id=funded.wallet, rest=rest)) == "ledger_hold_rest"

    def test_never_give_more_than_they_have(self, funded: Books) -> None:
        breach = {"hold_id": funded.hold(5), "kind": "release", "amount_micros": 6}

        assert refused(lambda: events(breach)) == "ledger_hold_rest"

    def test_have_a_rest_that_nobody_sets(self, funded: Books) -> None:
        made = funded.hold(5)

        assert refused(lambda: sql("UPDATE ledger_hold SET rest_micros = 5 WHERE id = %s", made)) == "ledger_hold_total"

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM ledger_hold",
            "TRUNCATE ledger_hold CASCADE",
            "UPDATE ledger_hold SET id = id",
            "UPDATE ledger_hold SET account_id = account_id",
            "UPDATE ledger_hold SET currency = 'XTS'",
            "UPDATE ledger_hold SET parent_id = NULL",
            "UPDATE ledger_hold SET expires_at = NULL",
            "UPDATE ledger_hold SET created_at = now()",
        ],
    )
    def test_stay_what_they_are(self, funded: Books, statement: str) -> None:
        funded.hold(5)

        assert refused(lambda: sql(statement)) == "ledger_hold_kept"

    @pytest.mark.parametrize("kind", ["increase", "decrease", "release", "void", "expire"])
    def test_are_resolved_once(self, funded: Books, kind: str) -> None:
        made = funded.hold(5)
        change(made, "release")

        breach = {"hold_id": made, "kind": kind, "amount_micros": 5}
        assert refused(lambda: events(breach)) == "ledger_hold_resolved_once"

    def test_that_are_not_there_have_no_events(self) -> None:
        breach = {"hold_id": ids.new(), "kind": "release", "amount_micros": 5}

        assert refused(lambda: events(breach)) == "ledger_hold_resolved_once"
        assert refused(lambda: events({**breach, "kind": "place"})) == "ledger_hold_split"

    @pytest.mark.parametrize("kind", ["void", "expire"])
    def test_are_voided_and_expired_whole(self, funded: Books, kind: str) -> None:
        breach = {"hold_id": funded.hold(5), "kind": kind, "amount_micros": 4}

        assert refused(lambda: events(breach)) == "ledger_hold_resolved_whole"

    def test_of_a_parent_are_split_from_it(self, funded: Books) -> None:
        parent = funded.hold(5)

        assert refused(lambda: hold(account_id=funded.wallet, parent=parent)) == "ledger_hold_split"

    @pytest.mark.parametrize("foreign", ["account", "currency"])
    def test_of_a_parent_stay_in_its_account_and_currency(self, funded: Books, foreign: str) -> None:
        other = Books()
        other.top_up(100)
        parent, child = other.hold(9), ids.new()
        account_id, currency = (funded.wallet, "CNY") if foreign == "account" else (other.wallet, "XTS")

        def breach() -> None:
            sql(
                "WITH made AS (INSERT INTO ledger_hold (id, account_id, currency, parent_id, rest_micros, created_at) "
                "VALUES (%s, %s, %s, %s, 5, now())) INSERT INTO ledger_holdevent "
                "(hold_id, kind, amount_micros, child_id, key, created_at) "
                "VALUES (%s, 'place', 5, NULL, NULL, now()), (%s, 'split', 5, %s, 'split', now())",
                child, account_id, currency, parent, child, parent, child,
            )  # fmt: skip

        assert refused(breach) == "ledger_hold_account"

    def test_are_not_split_into_what_is_not_placed(self, funded: Books) -> None:
        parent, other = funded.hold(5), funded.hold(4)

        breach = {"hold_id": parent, "kind": "split", "amount_micros": 4, "child_id": other}
        assert refused(lambda: events(breach)) == "ledger_hold_split"


class TestHoldEvents:
    @pytest.mark.parametrize("amount", [0, -5, 2**62])
    def test_move_positive_amounts(self, funded: Books, amount: int) -> None:
        breach = {"hold_id": funded.hold(5), "kind": "release", "amount_micros": amount}

        assert refused(lambda: events(breach)) == "ledger_holdevent_amount"

    def test_have_a_key_of_their_own(self, funded: Books) -> None:
        made = funded.hold(5, key="taken")

        breach = {"hold_id": made, "kind": "release", "amount_micros": 1, "key": "taken"}
        assert refused(lambda: events(breach)) == "ledger_holdevent_key"

    def test_have_a_key(self, funded: Books) -> None:
        breach = {"hold_id": funded.hold(5), "kind": "release", "amount_micros": 1, "key": None}

        assert refused(lambda: events(breach)) == "ledger_holdevent_has_key"

    def test_name_a_transfer_if_and_only_if_they_post(self, funded: Books) -> None:
        made = {"hold_id": funded.hold(5), "amount_micros": 1}
        [(some,)] = sql("SELECT id FROM ledger_transfer WHERE key = 'top_up'")

        assert refused(lambda: events({**made, "kind": "post"})) == "ledger_holdevent_transfer"
        assert refused(lambda: events({**made, "kind": "release", "transfer_id": some})) == "ledger_holdevent_transfer"
        assert refused(lambda: events({**made, "kind": "vanish"})) == "ledger_holdevent_transfer"

    def test_name_a_transfer_that_is_there(self, funded: Books) -> None:
        breach = {"hold_id": funded.hold(5), "kind": "post", "amount_micros": 1, "transfer_id": ids.new()}

        assert "transfer_id" in refused(lambda: events(breach))

    def test_name_a_child_if_and_only_if_they_split(self, funded: Books) -> None:
        made = {"hold_id": funded.hold(5), "amount_micros": 1}

        assert refused(lambda: events({**made, "kind": "split"})) == "ledger_holdevent_child"
        assert refused(lambda: events({**made, "kind": "release", "child_id": ids.new()})) == "ledger_holdevent_child"


def test_every_rule_of_the_tables_is_broken_above() -> None:
    rules = sql(
        "SELECT conname FROM pg_constraint WHERE conrelid::regclass::text LIKE 'ledger\\_%%' AND contype IN ('c', 'u') "
        "UNION SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid::regclass::text LIKE 'ledger\\_%%' "
        "AND indisunique AND NOT indisprimary "
        "UNION SELECT (regexp_matches(prosrc, 'CONSTRAINT = ''(\\w+)''', 'g'))[1] FROM pg_proc "
        "WHERE proname LIKE 'ledger\\_%%'"
    )
    here = Path(__file__).read_text()

    missing = {rule for (rule,) in rules if f'"{rule}"' not in here}

    assert len(rules) > 25
    assert missing == set()
