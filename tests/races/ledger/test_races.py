"""Races by real connections: what is refused is refused to all but those who may, and nothing is done twice."""

from __future__ import annotations

import os
import threading
import time
from functools import partial

import pytest
from django.db import connection, transaction

from ledger import locks, selectors, services
from ledger.services import HoldChange, HoldDraft, Leg, TransferDraft
from tests.ledger.books import NOW, Books, draft, new_key, rest, sql
from tests.races.ledger.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = int(os.environ.get("RACE_ROUNDS", "5"))
CROWD = 50


def refusals(results: list[object]) -> list[type]:
    return [type(result) for result in results if isinstance(result, Exception)]


class TestOneWallet:
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_of_fifty_holds_on_money_for_ten_exactly_ten_succeed(self, books: Books, _: int) -> None:
        books.top_up(100)
        place = [partial(services.place_holds, [HoldDraft(new_key(), books.wallet, 10)], now=NOW) for _ in range(CROWD)]

        results = at_once(place)

        assert refusals(results) == [services.InsufficientFunds] * 40
        assert books.totals() == (100, 100)
        assert selectors.verify() == []

    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_of_fifty_transfers_on_money_for_ten_exactly_ten_succeed(self, books: Books, _: int) -> None:
        books.top_up(100)

        results = at_once([partial(books.use, 10) for _ in range(CROWD)])

        assert refusals(results) == [services.InsufficientFunds] * 40
        assert books.totals() == (0, 0)
        assert selectors.balance(books.unbilled).posted_micros == 100
        assert selectors.verify() == []

    def test_of_holds_and_transfers_together_no_more_than_the_money_goes(self, books: Books) -> None:
        books.top_up(100)
        jobs = [partial(books.use, 10) if i % 2 else partial(books.hold, 10) for i in range(CROWD)]

        results = at_once(jobs)

        posted, held = books.totals()
        assert len(refusals(results)) == 40
        assert posted - held == 0
        assert selectors.verify() == []


class TestOneKey:
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_of_fifty_equal_transfers_one_moves_money(self, books: Books, _: int) -> None:
        transfer = draft(books.cash, books.wallet, 10, key="once")

        results = at_once([partial(services.post, [transfer], now=NOW)] * CROWD)

        assert len({str(result) for result in results}) == 1
        assert refusals(results) == []
        assert books.totals() == (10, 0)

    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_of_fifty_equal_transfers_without_any_lock_one_moves_money(self, books: Books, _: int) -> None:
        rounding = services.open_account(organisation_id=None, kind="rounding")
        transfer = draft(books.unbilled, rounding, 10, key="once")

        results = at_once([partial(services.post, [transfer], now=NOW)] * CROWD)

        assert len({str(result) for result in results}) == 1
        assert refusals(results) == []
        assert selectors.balance(rounding).posted_micros == 10
        assert selectors.verify() == []

    def test_of_fifty_transfers_with_other_content_one_moves_money(self, books: Books) -> None:
        rounding = services.open_account(organisation_id=None, kind="rounding")
        jobs = [
            partial(services.post, [draft(books.unbilled, rounding, amount, key="once")], now=NOW)
            for amount in range(1, CROWD + 1)
        ]

        results = at_once(jobs)

        assert refusals(results) == [services.KeyConflict] * (CROWD - 1)
        assert sql("SELECT count(*) FROM ledger_entry") == [(2,)]

    def test_of_fifty_equal_holds_one_is_placed(self, books: Books) -> None:
        books.top_up(100)
        hold = HoldDraft("once", books.wallet, 10)

        results = at_once([partial(services.place_holds, [hold], now=NOW)] * CROWD)

        assert len({str(result) for result in results}) == 1
        assert books.totals() == (100, 10)

    def test_of_holds_on_two_wallets_one_is_placed_and_the_others_conflict(self, books: Books) -> None:
        other = Books()
        for each in (books, other):
            each.top_up(100)
        jobs = [
            partial(services.place_holds, [HoldDraft("once", each.wallet, 10)], now=NOW)
            for each in (books, other) for _ in range(10)
        ]  # fmt: skip

        results = at_once(jobs)

        assert refusals(results) == [services.KeyConflict] * 10
        assert sorted([books.totals(), other.totals()]) == [(100, 0), (100, 10)]

    def test_of_fifty_openings_one_makes_the_account(self, books: Books) -> None:
        open_it = partial(services.open_account, organisation_id=books.buyer, kind="receivable")

        results = at_once([open_it] * CROWD)

        assert len(set(results)) == 1


class TestOneHold:
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_is_resolved_once_by_whoever_comes_first(self, books: Books, _: int) -> None:
        books.top_up(100)
        hold = books.hold(100, expires_at=NOW)

        def capture() -> object:
            key = new_key()
            return services.capture(
                hold_changes=[HoldChange(f"{key}:hold", hold, "post", 100, transfer_key=key)],
                drafts=[draft(books.wallet, books.unbilled, 100, key=key)],
                now=NOW,
            )

        def give_back() -> object:
            return services.change_holds([HoldChange(new_key(), hold, "void", None)], now=NOW)

        def sweep() -> object:
            return services.expire_holds(now=NOW, limit=10) or ValueError("nothing was due")

        results = at_once([capture, give_back, sweep] * 8)

        done = [result for result in results if not isinstance(result, Exception)]
        assert len(done) == 1
        assert set(refusals(results)) <= {services.HoldClosed, ValueError}
        assert rest(hold) == 0
        assert books.totals() in {(0, 0), (100, 0)}
        assert selectors.verify() == []

    def test_never_posts_more_than_was_held(self, books: Books) -> None:
        books.top_up(1000)
        hold = books.hold(100)

        def capture() -> object:
            key = new_key()
            return services.capture(
                hold_changes=[HoldChange(f"{key}:hold", hold, "post", 10, transfer_key=key)],
                drafts=[draft(books.wallet, books.unbilled, 10, key=key)],
                now=NOW,
            )

        results = at_once([capture] * CROWD)

        assert len(refusals(results)) == CROWD - 10
        assert books.totals() == (900, 0)
        assert selectors.verify() == []


class TestOppositeOrder:
    def test_shows_no_deadlock_to_anybody(self, books: Books) -> None:
        """Twenty pairs each way, fifty times: without one lock order this ends in deadlocks (see below)."""
        other = Books()
        for each in (books, other):
            each.top_up(100_000)

        def swap(first: Books, second: Books) -> None:
            for _ in range(50):
                legs = (Leg(first.wallet, "debit", 1), Leg(second.wallet, "credit", 1))
                services.post([TransferDraft(new_key(), "test", legs)], now=NOW)

        results = at_once([partial(swap, books, other), partial(swap, other, books)] * 10)

        assert refusals(results) == []
        assert books.totals() == other.totals() == (100_000, 0)
        assert selectors.verify() == []

    def test_repeats_the_transaction_that_a_deadlock_ended(self, books: Books) -> None:
        """Two callers lock by hand in opposite orders; the one the database ends runs again."""
        other = Books()
        both_have_one = threading.Barrier(2)
        tries = []

        def lock_then(first: Books, second: Books) -> str:
            @services.transactional
            def run() -> str:
                tries.append(first)
                locks.accounts([first.wallet])
                sql("SET LOCAL deadlock_timeout = '50ms'")
                if len(tries) <= 2:
                    both_have_one.wait(10)
                locks.accounts([second.wallet])
                return "done"

            return run()

        results = at_once([partial(lock_then, books, other), partial(lock_then, other, books)])

        assert results == ["done", "done"]
        assert len(tries) == 3


class TestBusy:
    def test_is_said_after_the_lock_timeout_and_nothing_is_written(self, books: Books) -> None:
        books.top_up(100)
        held, finished = threading.Event(), threading.Event()

        def keep_the_wallet() -> None:
            with transaction.atomic():
                locks.accounts([books.wallet])
                held.set()
                finished.wait(30)

        def hurry() -> object:
            held.wait(10)
            began = time.monotonic()
            try:
                sql("SET lock_timeout = '100ms'")
                return books.use(10)
            finally:
                finished.set()
                assert time.monotonic() - began < 2

        _, refused = at_once([keep_the_wallet, hurry])

        assert isinstance(refused, services.Busy)
        assert (refused.code, refused.status, refused.retryable) == ("busy", 503, True)
        assert books.totals() == (100, 0)

    def test_waits_two_seconds_where_nobody_said_how_long(self, books: Books) -> None:
        with transaction.atomic():
            locks.accounts([books.wallet])

            assert sql("SHOW lock_timeout") == [("2s",)]
        assert sql("SHOW lock_timeout") == [("0",)]


class TestWithoutLocks:
    def test_reading_before_writing_spends_the_same_money_twice(self, books: Books) -> None:
        """Why there are locks and a stored total: sums of entries, read and then trusted, let both through."""
        sql("CREATE TABLE IF NOT EXISTS naive_entry (account_id uuid, amount bigint)")
        sql("INSERT INTO naive_entry VALUES (%s, 100)", books.wallet)
        both_have_read = threading.Barrier(2)

        def spend() -> bool:
            with transaction.atomic():
                [(total,)] = sql("SELECT sum(amount) FROM naive_entry WHERE account_id = %s", books.wallet)
                both_have_read.wait(10)
                if total >= 80:
                    sql("INSERT INTO naive_entry VALUES (%s, -80)", books.wallet)
                return total >= 80

        try:
            assert at_once([spend, spend]) == [True, True]
            assert sql("SELECT sum(amount) FROM naive_entry WHERE account_id = %s", books.wallet) == [(-60,)]
        finally:
            sql("DROP TABLE naive_entry")

    def test_the_constraint_alone_still_keeps_the_floor(self, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the service's locks gone the database refuses all the same; locks only make it orderly."""
        books.top_up(100)
        monkeypatch.setattr(locks, "accounts", _unlocked)

        results = at_once([partial(books.use, 10) for _ in range(CROWD)])

        assert len(refusals(results)) == 40
        assert books.totals() == (0, 0)
        assert selectors.verify() == []


def _unlocked(account_ids: object, *, of_holds: object = ()) -> dict[object, locks.Locked]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, posted_micros, held_micros, floor_micros FROM ledger_account")
        return {row[0]: locks.Locked(*row[1:]) for row in cursor.fetchall()}
