"""Paid, unspent money goes back once; held at once, and free again where Stripe says no."""

from __future__ import annotations

import pytest
from django.db import Error, connection, transaction

from accounts.kernel import ids
from accounts.selectors import clock
from billing import selectors, services
from billing.payment_models import Refund
from billing.selectors.payments import UnknownPayment
from billing.services.payments import errors
from ledger import selectors as ledger
from ledger import services as moves
from ledger.services import HoldDraft
from tests.billing.payments.conftest import Till, later

YUAN = 10**6
pytestmark = pytest.mark.django_db


def spend(till: Till, micros: int) -> None:
    """Set money aside, as a bid does."""
    wallet = moves.open_account(organisation_id=till.buyer.organisation_id, kind="wallet")
    moves.place_holds([HoldDraft(f"test:{ids.new()}", wallet, micros)], now=clock.now())


def state(refund_id: object) -> str:
    return Refund.objects.get(id=refund_id).state


class TestRefund:
    def test_takes_the_money_from_the_wallet_when_stripe_has_sent_it(self, till: Till) -> None:
        before = till.wallet()
        made = till.paid(10_000)

        refund = till.refund(made, 4_000)

        assert state(refund) == "settled"
        assert till.wallet() == before + 60 * YUAN
        assert till.captured_fen() == 6_000
        assert ledger.verify() == [] and selectors.verify() == []

    def test_may_be_in_parts_up_to_the_whole(self, till: Till) -> None:
        before = till.wallet()
        made = till.paid(10_000)
        till.refund(made, 9_999)
        with pytest.raises(errors.BeyondPayment) as refused:
            till.refund(made, 2)
        assert refused.value.details == {"most_fen": 1}
        till.refund(made, 1)
        assert till.wallet() == before

    def test_is_at_most_what_the_wallet_has_free(self, till: Till) -> None:
        made = till.paid(10_000)
        spend(till, 1_050 * YUAN)  # of 1,100
        with pytest.raises(errors.BeyondWallet) as refused:
            till.refund(made, 5_001)
        assert refused.value.details == {"most_fen": 5_000}
        assert not Refund.objects.exists()
        assert state(till.refund(made, 5_000)) == "settled"

    @pytest.mark.parametrize("fault", ["hang", "cut", "error", "never"])
    def test_without_an_answer_is_unknown_and_keeps_its_hold(self, till: Till, fault: str) -> None:
        made = till.paid(10_000)
        held = ledger.wallet(till.buyer.organisation_id).held_micros
        till.plan(("POST /v1/refunds", fault))
        refund = till.refund(made, 4_000)
        assert state(refund) == "unknown"
        assert ledger.wallet(till.buyer.organisation_id).held_micros == held + 40 * YUAN
        assert selectors.verify() == []

        services.payments.tick(now=later(1))

        assert state(refund) == "settled"
        assert len(till.books.of("refund")) == 1
        assert ledger.wallet(till.buyer.organisation_id).held_micros == held
        assert till.captured_fen() == 6_000
        assert selectors.verify() == []

    def test_that_stripe_refuses_gives_the_hold_back(self, till: Till) -> None:
        before = till.wallet()
        made = till.paid(10_000)
        till.books.refund({"payment_intent": till.books.of("payment_intent")[0]["id"]})  # in the dashboard
        refund = till.refund(made, 4_000)
        assert state(refund) == "failed"
        assert Refund.objects.get(id=refund).reason == "charge_already_refunded"
        assert till.wallet() == before + 100 * YUAN
        assert ledger.wallet(till.buyer.organisation_id).held_micros == 0
        assert selectors.verify() == []

    def test_that_the_bank_sends_back_is_in_the_wallet_again(self, till: Till) -> None:
        before = till.wallet()
        refund = till.refund(till.paid(10_000), 4_000)
        till.books.fail_refund(Refund.objects.get(id=refund).stripe_id)

        till.deliver_all()

        assert state(refund) == "failed"
        assert till.wallet() == before + 100 * YUAN
        assert ledger.verify() == [] and selectors.verify() == []

    def test_that_came_back_frees_its_part_of_the_payment(self, till: Till) -> None:
        made = till.paid(10_000)
        refund = till.refund(made, 10_000)
        till.books.fail_refund(Refund.objects.get(id=refund).stripe_id)
        services.payments.clearing.read(now=later(1))  # the webhook was lost: the night finds it
        assert state(refund) == "failed"
        assert state(till.refund(made, 10_000)) == "settled"


class TestWhoMay:
    def test_not_a_stranger_and_not_a_trader(self, till: Till) -> None:
        made = till.paid()
        with pytest.raises(UnknownPayment):
            services.payments.refunds.open_refund(actor=till.stranger, payment_id=made, amount_fen=1, now=clock.now())
        finance = till.member("finance")
        with pytest.raises(errors.NotAllowed):
            services.payments.refunds.open_refund(actor=finance, payment_id=made, amount_fen=1, now=clock.now())
        services.payments.refunds.open_refund(
            actor=till.member("owner"), payment_id=made, amount_fen=1, now=clock.now()
        )

    @pytest.mark.parametrize("fen", [0, -5])
    def test_nothing_below_a_fen(self, till: Till, fen: int) -> None:
        made = till.paid()
        with pytest.raises(errors.BadAmount):
            till.refund(made, fen)

    def test_nothing_of_what_was_not_paid(self, till: Till) -> None:
        with pytest.raises(errors.NotRefundable):
            till.refund(till.open(), 1)


class TestTheDatabase:
    def test_refuses_refunds_beyond_the_payment(self, till: Till) -> None:
        made = till.paid(10_000)
        hold = Refund.objects.get(id=till.refund(made, 6_000)).hold_id
        with pytest.raises(Error, match="less left"), transaction.atomic():
            Refund.objects.create(payment_id=made, amount_fen=4_001, hold_id=hold, created_at=clock.now())

    @pytest.mark.parametrize("change", ["amount_fen = 1", "state = 'pending'", "stripe_id = 're_2'"])
    def test_refuses_to_change_a_settled_one(self, till: Till, change: str) -> None:
        refund = till.refund(till.paid(), 100)
        with pytest.raises(Error, match="keeps what it asked for"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE billing_refund SET {change} WHERE id = %s", [refund])
