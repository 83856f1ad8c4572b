from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import selectors, services
from tests.ledger.books import NOW, Books

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


class TestStatement:
    def test_opens_with_what_was_there_and_closes_with_what_is(self, books: Books) -> None:
        books.top_up(100, at=NOW - HOUR)
        books.use(30, at=NOW)
        books.top_up(5, at=NOW + HOUR / 2)
        books.use(1, at=NOW + HOUR)

        found = selectors.statement(books.wallet, NOW, NOW + HOUR)

        assert (found.opening_micros, found.closing_micros, found.currency) == (100, 75, "CNY")
        assert [(each.kind, each.direction, each.amount_micros, each.change_micros) for each in found.movements] == [
            ("usage", "debit", 30, -30), ("top_up", "credit", 5, 5),
        ]  # fmt: skip
        assert [each.against for each in found.movements] == [("unbilled",), ("cash_clearing",)]

    def test_grows_by_debits_where_debits_are_normal(self, books: Books) -> None:
        books.top_up(100)

        found = selectors.statement(books.cash, NOW, NOW + HOUR)

        assert found.closing_micros == 100

    def test_names_all_accounts_on_the_other_side(self, books: Books) -> None:
        books.top_up(100, at=NOW - HOUR)
        tax = services.open_account(organisation_id=None, kind="tax_payable")
        legs = (
            services.Leg(books.wallet, "debit", 10),
            services.Leg(books.unbilled, "credit", 9),
            services.Leg(tax, "credit", 1),
        )
        services.post([services.TransferDraft("k", "usage", legs, reason="why")], now=NOW)

        [movement] = selectors.statement(books.wallet, NOW, NOW + HOUR).movements

        assert (movement.key, movement.reason, movement.against) == ("k", "why", ("tax_payable", "unbilled"))

    def test_of_no_account_is_refused(self, books: Books) -> None:
        with pytest.raises(services.UnknownAccount):
            selectors.statement(books.buyer, NOW, NOW)

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(hours=st.lists(st.integers(0, 9), max_size=8), cut=st.integers(0, 10))
    def test_adds_up_wherever_the_periods_meet(self, books: Books, hours: list[int], cut: int) -> None:
        fresh = Books()
        for hour in hours:
            fresh.top_up(10 + hour, at=NOW + hour * HOUR)

        first = selectors.statement(fresh.wallet, NOW, NOW + cut * HOUR)
        second = selectors.statement(fresh.wallet, NOW + cut * HOUR, NOW + 10 * HOUR)

        assert first.closing_micros == second.opening_micros
        assert second.closing_micros == selectors.balance(fresh.wallet).posted_micros
        assert len(first.movements) + len(second.movements) == len(hours)


class TestMovements:
    def test_come_newest_first_in_pages(self, books: Books) -> None:
        for amount in range(1, 6):
            books.top_up(amount)

        first = selectors.movements(books.wallet, limit=3)
        second = selectors.movements(books.wallet, limit=3, before_entry=first[-1].entry_id)

        assert [each.amount_micros for each in [*first, *second]] == [5, 4, 3, 2, 1]

    def test_stay_inside_half_open_bounds(self, books: Books) -> None:
        for hour in range(3):
            books.top_up(hour + 1, at=NOW + hour * HOUR)

        found = selectors.movements(books.wallet, start=NOW + HOUR, end=NOW + 2 * HOUR)

        assert [each.amount_micros for each in found] == [2]
