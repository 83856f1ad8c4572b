from dataclasses import replace

import pytest
from django.db import transaction

from ledger import selectors, services
from ledger.services import Leg, TransferDraft
from tests.ledger.books import NOW, Books, draft, new_organisation, post, sql

pytestmark = pytest.mark.django_db


class TestPost:
    def test_moves_money(self, books: Books) -> None:
        books.top_up(100)

        assert books.totals() == (100, 0)
        assert selectors.verify() == []

    def test_gives_ids_in_the_order_of_the_drafts(self, books: Books) -> None:
        drafts = [draft(books.cash, books.wallet, amount, key=f"k{amount}") for amount in (3, 1, 2)]

        made = services.post(drafts, now=NOW)

        assert [sql("SELECT key FROM ledger_transfer WHERE id = %s", each)[0][0] for each in made] == ["k3", "k1", "k2"]

    def test_keeps_legs_in_their_order(self, books: Books) -> None:
        legs = (Leg(books.wallet, "credit", 7), Leg(books.cash, "debit", 9), Leg(books.unbilled, "credit", 2))

        made = post(TransferDraft("k", "test", legs))

        rows = sql("SELECT account_id, direction, amount_micros FROM ledger_entry WHERE transfer_id = %s "
                   "ORDER BY position", made)  # fmt: skip
        assert [Leg(*row) for row in rows] == list(legs)

    def test_same_key_and_content_changes_nothing(self, books: Books) -> None:
        transfer = draft(books.cash, books.wallet, 100)

        first = post(transfer)

        assert post(transfer) == first
        assert services.post([transfer, transfer], now=NOW) == [first, first]
        assert books.totals() == (100, 0)

    def test_same_key_twice_in_a_call_is_one_transfer(self, books: Books) -> None:
        transfer = draft(books.cash, books.wallet, 100)

        made = services.post([transfer, transfer], now=NOW)

        assert made[0] == made[1]
        assert books.totals() == (100, 0)

    @pytest.mark.parametrize("together", [True, False])
    def test_same_key_and_other_content_is_a_conflict(self, books: Books, together: bool) -> None:
        transfer = draft(books.cash, books.wallet, 100, key="k")
        other = draft(books.cash, books.wallet, 101, key="k")
        if not together:
            post(transfer)

        with pytest.raises(services.KeyConflict) as caught:
            services.post([transfer, other] if together else [other], now=NOW)

        assert caught.value.code == "ledger_key_conflict"
        assert caught.value.status == 409
        assert books.totals() == ((0, 0) if together else (100, 0))

    def test_writes_all_or_nothing(self, books: Books) -> None:
        with pytest.raises(services.InsufficientFunds):
            services.post([draft(books.cash, books.wallet, 5), draft(books.wallet, books.unbilled, 6)], now=NOW)

        assert books.totals() == (0, 0)

    def test_never_passes_the_floor(self, books: Books) -> None:
        books.top_up(100)

        with pytest.raises(services.InsufficientFunds) as caught:
            books.use(101)

        assert (caught.value.code, caught.value.status) == ("insufficient_funds", 402)
        assert caught.value.details == {
            "account_id": str(books.wallet), "available_micros": 100, "needed_micros": 101,
        }  # fmt: skip

    def test_never_takes_what_is_held(self, books: Books) -> None:
        books.top_up(100)
        books.hold(60)

        with pytest.raises(services.InsufficientFunds):
            books.use(41)

        books.use(40)

    def test_reaches_the_credit_limit_and_no_further(self) -> None:
        owner = new_organisation()
        wallet = services.open_account(organisation_id=owner, kind="wallet", credit_limit_micros=50)
        unbilled = services.open_account(organisation_id=owner, kind="unbilled")
        post(draft(wallet, unbilled, 50))

        with pytest.raises(services.InsufficientFunds):
            post(draft(wallet, unbilled, 1))

    def test_leaves_the_callers_transaction_usable_after_a_refusal(self, books: Books) -> None:
        with transaction.atomic():
            with pytest.raises(services.InsufficientFunds):
                books.use(1)
            books.top_up(1)

        assert books.totals() == (1, 0)

    def test_refuses_a_total_beyond_all_amounts(self, books: Books) -> None:
        books.top_up(2**62 - 1)

        with pytest.raises(services.BadAmount):
            books.top_up(1)

    @pytest.mark.parametrize("debit", ["CNY", "XTS"])
    @pytest.mark.parametrize("credit", ["CNY", "XTS"])
    @pytest.mark.parametrize("currency", ["CNY", "XTS"])
    def test_never_mixes_currencies(self, debit: str, credit: str, currency: str) -> None:
        owner = new_organisation()
        cash = services.open_account(organisation_id=None, kind="cash_clearing", currency=debit)
        wallet = services.open_account(organisation_id=owner, kind="wallet", currency=credit)
        transfer = draft(cash, wallet, 5, currency=currency)

        if debit == credit == currency:
            post(transfer)
        else:
            with pytest.raises(services.CurrencyMismatch):
                post(transfer)

    def test_keeps_any_text_in_key_and_reason(self, books: Books) -> None:
        odd = "ä\"\\ {,}\n' 转账"
        transfer = replace(draft(books.cash, books.wallet, 5, key=odd), reason=odd)

        made = post(transfer)

        assert post(transfer) == made
        assert sql("SELECT key, reason FROM ledger_transfer WHERE id = %s", made) == [(odd, odd)]
        assert selectors.verify() == []

    def test_of_nothing_does_nothing(self) -> None:
        assert services.post([], now=NOW) == []
