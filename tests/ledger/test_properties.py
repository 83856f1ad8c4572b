"""What holds for any amounts, in any order, in any batches."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import selectors, services
from ledger.services import HoldChange, HoldDraft, Leg, TransferDraft
from tests.ledger.books import NOW, Books, draft, new_key, rest, sql

pytestmark = pytest.mark.django_db
anything = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
amounts = st.integers(1, 10**6)


class TestTransfers:
    @anything
    @given(parts=st.lists(amounts, min_size=1, max_size=20))
    def test_conserve_money(self, books: Books, parts: list[int]) -> None:
        legs = [Leg(books.unbilled, "credit", amount) for amount in parts]

        services.post([TransferDraft(new_key(), "test", (Leg(books.cash, "debit", sum(parts)), *legs))], now=NOW)

        [(total,)] = sql("SELECT sum(CASE direction WHEN 'debit' THEN amount_micros ELSE -amount_micros END) "
                         "FROM ledger_entry")  # fmt: skip
        assert total == 0

    @anything
    @given(data=st.data(), parts=st.lists(amounts, min_size=1, max_size=12))
    def test_give_the_same_totals_in_any_order_batches_and_repeats(
        self, books: Books, data: st.DataObject, parts: list[int]
    ) -> None:
        mine = Books()
        drafts = [draft(mine.cash, mine.wallet, amount) for amount in parts]
        sent = data.draw(st.permutations(drafts)) + data.draw(st.lists(st.sampled_from(drafts), max_size=8))

        while sent:
            size = data.draw(st.integers(1, len(sent)))
            services.post(sent[:size], now=NOW)
            sent = sent[size:]

        assert mine.totals() == (sum(parts), 0)
        assert len(selectors.movements(mine.wallet)) == len(parts)


class TestHolds:
    @anything
    @given(parts=st.lists(amounts, min_size=1, max_size=20), spare=st.integers(0, 100))
    def test_splits_and_rest_add_up_to_what_was_held(self, books: Books, parts: list[int], spare: int) -> None:
        mine, total = Books(), sum(parts) + spare
        mine.top_up(total)
        hold = mine.hold(total)

        children = services.change_holds([HoldChange(new_key(), hold, "split", part) for part in parts], now=NOW)

        assert [rest(child) for child in children if child] == parts
        assert rest(hold) == spare
        assert mine.totals() == (total, total)

    @anything
    @given(held=amounts, takes=st.lists(st.integers(1, 10**5), max_size=20))
    def test_never_post_more_than_was_held(self, books: Books, held: int, takes: list[int]) -> None:
        mine = Books()
        mine.top_up(held)
        hold = mine.hold(held)

        for amount in takes:
            key = new_key()
            post = HoldChange(f"{key}:hold", hold, "post", amount, transfer_key=key)
            before = rest(hold)
            try:
                services.capture(
                    hold_changes=[post], drafts=[draft(mine.wallet, mine.unbilled, amount, key=key)], now=NOW
                )
            except (services.HoldExhausted, services.HoldClosed):
                assert amount > before

        posted, left = selectors.balance(mine.unbilled).posted_micros, rest(hold)
        assert posted + left == held
        assert mine.totals() == (held - posted, left)

    @anything
    @given(wants=st.lists(st.integers(1, 50), min_size=1, max_size=20))
    def test_never_hold_more_than_there_is(self, books: Books, wants: list[int]) -> None:
        mine = Books()
        mine.top_up(100)
        held = 0

        for amount in wants:
            try:
                services.place_holds([HoldDraft(new_key(), mine.wallet, amount)], now=NOW)
                held += amount
            except services.InsufficientFunds:
                assert held + amount > 100

        assert mine.totals() == (100, held)
