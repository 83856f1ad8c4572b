import hashlib
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledger.kernel.errors import BadAmount, CurrencyMismatch, Unbalanced, UnknownAccount
from ledger.kernel.transfers import AccountFacts, Leg, TransferDraft, changes, check, content_hash

CASH, WALLET, YUAN = UUID(int=1), UUID(int=2), "CNY"
FACTS = {
    CASH: AccountFacts(CASH, YUAN, "debit", stored=False),
    WALLET: AccountFacts(WALLET, YUAN, "credit", stored=True),
}
TOP_UP = TransferDraft("k", "top_up", (Leg(CASH, "debit", 5), Leg(WALLET, "credit", 5)))
amounts = st.integers(1, 2**40)


class TestCheck:
    def test_accepts_a_balanced_transfer(self) -> None:
        check(TOP_UP, FACTS)

    @given(debit=amounts, credit=amounts)
    def test_never_accepts_debits_that_differ_from_credits(self, debit: int, credit: int) -> None:
        assume(debit != credit)
        draft = replace(TOP_UP, legs=(Leg(CASH, "debit", debit), Leg(WALLET, "credit", credit)))

        with pytest.raises(Unbalanced):
            check(draft, FACTS)

    @pytest.mark.parametrize("legs", [(), (Leg(CASH, "debit", 5),)])
    def test_refuses_fewer_than_two_legs(self, legs: tuple[Leg, ...]) -> None:
        with pytest.raises(Unbalanced):
            check(replace(TOP_UP, legs=legs), FACTS)

    @pytest.mark.parametrize("amount", [0, -1, 2**62, True, 1.0, "5", None, float("nan"), float("inf")])
    def test_refuses_what_is_no_positive_whole_amount(self, amount: object) -> None:
        legs = (Leg(CASH, "debit", amount), Leg(WALLET, "credit", amount))  # type: ignore[arg-type]

        with pytest.raises(BadAmount):
            check(replace(TOP_UP, legs=legs), FACTS)

    def test_refuses_an_account_of_another_currency(self) -> None:
        foreign = {**FACTS, WALLET: replace(FACTS[WALLET], currency="XTS")}

        with pytest.raises(CurrencyMismatch):
            check(TOP_UP, foreign)

    def test_refuses_an_account_that_is_not_there(self) -> None:
        with pytest.raises(UnknownAccount):
            check(TOP_UP, {CASH: FACTS[CASH]})


class TestContentHash:
    def test_is_taken_of_these_lines(self) -> None:
        text = (
            "top_up\nCNY\ndebit 00000000-0000-0000-0000-000000000001 5\ncredit 00000000-0000-0000-0000-000000000002 5\n"
        )

        assert content_hash(TOP_UP) == hashlib.sha256(text.encode()).digest()

    def test_leaves_the_key_out(self) -> None:
        assert content_hash(replace(TOP_UP, key="other")) == content_hash(TOP_UP)

    @pytest.mark.parametrize(
        "other",
        [
            replace(TOP_UP, kind="refund"),
            replace(TOP_UP, currency="XTS"),
            replace(TOP_UP, reason="late"),
            replace(TOP_UP, legs=TOP_UP.legs[::-1]),
            replace(TOP_UP, legs=(Leg(CASH, "debit", 6), Leg(WALLET, "credit", 6))),
            replace(TOP_UP, legs=(Leg(CASH, "credit", 5), Leg(WALLET, "debit", 5))),
        ],
    )
    def test_differs_with_any_content(self, other: TransferDraft) -> None:
        assert content_hash(other) != content_hash(TOP_UP)


class TestChanges:
    def test_counts_on_the_normal_side_of_stored_accounts_only(self) -> None:
        back = TransferDraft("b", "refund", (Leg(WALLET, "debit", 2), Leg(CASH, "credit", 2)))

        assert changes([TOP_UP, back], FACTS) == {WALLET: 3}
