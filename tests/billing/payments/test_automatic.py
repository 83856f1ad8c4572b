"""A saved card, and top-ups by it: off by default, below the threshold only, within the cap, once at a time."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.selectors import clock
from billing import selectors, services
from billing.payment_models import Payment, PaymentProfile
from billing.services.payments import errors
from ledger import selectors as ledger
from tests.billing.payments.conftest import Till, later

YUAN = 10**6
pytestmark = pytest.mark.django_db


def save_card(till: Till, number: str = "4242424242424242", **how: Any) -> None:
    now = clock.now()
    made = services.payments.attempts.open_setup(actor=till.buyer, now=now)
    services.payments.attempts.go_on(made, now=now)
    till.pay(made, number=number, **how)
    services.payments.check(made, now=now)
    assert till.state(made) == "settled"


def switch_on(till: Till, **change: Any) -> None:
    """The wallet has 1,000 yuan, so a threshold of 1,001 is undercut."""
    given = {"threshold_micros": 1_001 * YUAN, "amount_fen": 10_000, "monthly_cap_fen": 25_000} | change
    services.payments.automatic.configure(actor=till.buyer, enabled=True, now=clock.now(), **given)


def automatic() -> list[Payment]:
    return list(Payment.objects.filter(purpose="automatic").order_by("id"))


class TestASavedCard:
    def test_is_known_by_stripes_id_and_four_digits_only(self, till: Till) -> None:
        save_card(till)
        profile = PaymentProfile.objects.get()
        assert (profile.method_brand, profile.method_last4, profile.automatic) == ("visa", "4242", False)
        assert profile.method_id.startswith("pm_")

    def test_moves_no_money(self, till: Till) -> None:
        before = till.wallet()
        save_card(till)
        assert till.wallet() == before
        assert selectors.verify() == []

    def test_is_forgotten_here_and_at_stripe(self, till: Till) -> None:
        save_card(till)
        switch_on(till)
        method = PaymentProfile.objects.get().method_id
        services.payments.automatic.forget_card(actor=till.buyer, now=clock.now())
        profile = PaymentProfile.objects.get()
        assert (profile.method_id, profile.automatic) == ("", False)
        assert till.books.get(method, "payment_method")["customer"] is None


class TestAutomaticTopUp:
    def test_is_off_until_switched_on(self, till: Till) -> None:
        save_card(till)
        assert services.payments.automatic.top_up(now=later(10)) == 0

    def test_fills_a_wallet_below_the_threshold(self, till: Till) -> None:
        before = till.wallet()
        save_card(till)
        switch_on(till)

        assert services.payments.automatic.top_up(now=later(1)) == 1

        assert [one.state for one in automatic()] == ["settled"]
        assert till.wallet() == before + 100 * YUAN
        assert services.payments.automatic.top_up(now=later(2)) == 0
        assert ledger.verify() == [] and selectors.verify() == []

    def test_stops_at_the_months_cap(self, till: Till) -> None:
        save_card(till)
        switch_on(till, threshold_micros=9_000 * YUAN)
        for minutes in (1, 10, 20, 30):
            services.payments.automatic.top_up(now=later(minutes))
        assert sum(one.amount_fen for one in automatic()) == 20_000

    def test_waits_between_two_charges(self, till: Till) -> None:
        save_card(till)
        switch_on(till, threshold_micros=9_000 * YUAN)
        services.payments.automatic.top_up(now=later(1))
        services.payments.automatic.top_up(now=later(2))
        assert len(automatic()) == 1

    @pytest.mark.parametrize(("number", "how", "reason"), [
        ("4000000000000341", {}, "generic_decline"),
        ("4000002760003184", {"authenticated": True}, "authentication_required"),
    ])  # fmt: skip
    def test_pauses_after_a_decline(self, till: Till, number: str, how: dict[str, Any], reason: str) -> None:
        before = till.wallet()
        save_card(till, number, **how)
        switch_on(till)
        services.payments.automatic.top_up(now=later(1))
        assert [one.state for one in automatic()] == ["failed"]
        assert till.wallet() == before

        services.payments.automatic.top_up(now=later(2))

        profile = PaymentProfile.objects.get()
        assert not profile.automatic
        assert profile.paused_reason in {reason, "card_declined"}
        assert len(automatic()) == 1

    @pytest.mark.parametrize("fault", ["hang", "cut", "error"])
    def test_whose_charge_got_no_answer_is_retrieved_and_never_charged_again(self, till: Till, fault: str) -> None:
        before = till.wallet()
        save_card(till)
        switch_on(till)
        till.plan(("/confirm", fault))
        services.payments.automatic.top_up(now=later(1))
        assert [one.state for one in automatic()] == ["unknown"]
        assert till.wallet() == before
        services.payments.automatic.top_up(now=later(9))  # one undecided attempt: no second one
        assert len(automatic()) == 1

        services.payments.tick(now=later(10))

        assert automatic()[0].state == "settled"
        assert till.wallet() == before + 100 * YUAN
        assert len(list(till.books.captured())) == 1
        assert sum(path.endswith("/confirm") for _, path, _ in till.stripe.calls) == 1

    def test_whose_charge_never_arrived_is_cancelled_for_good(self, till: Till) -> None:
        before = till.wallet()
        save_card(till)
        switch_on(till)
        till.plan(("/confirm", "never"))
        services.payments.automatic.top_up(now=clock.now())
        services.payments.look_at_undecided(now=later(1))
        assert automatic()[0].state in {"unknown", "pending"}

        services.payments.look_at_undecided(now=later(20))

        assert automatic()[0].state == "failed"
        assert till.books.get(automatic()[0].intent_id, "payment_intent")["status"] == "canceled"
        assert till.wallet() == before

    def test_whose_intent_got_no_answer_is_made_again_with_its_key(self, till: Till) -> None:
        before = till.wallet()
        save_card(till)
        switch_on(till)
        till.plan(("POST /v1/payment_intents", "cut"))
        services.payments.automatic.top_up(now=clock.now())
        assert automatic()[0].state == "unknown"
        services.payments.look_at_undecided(now=later(1))
        assert automatic()[0].state == "settled"
        assert till.wallet() == before + 100 * YUAN
        assert len(list(till.books.captured())) == 1


class TestRefusals:
    def test_without_a_card(self, till: Till) -> None:
        with pytest.raises(errors.NoSavedMethod):
            switch_on(till)

    @pytest.mark.parametrize("change", [
        {"threshold_micros": 0}, {"amount_fen": 99}, {"monthly_cap_fen": 9_999}, {"amount_fen": 100_000_001, "monthly_cap_fen": 10**12},
    ])  # fmt: skip
    def test_of_amounts_that_do_not_fit(self, till: Till, change: dict[str, int]) -> None:
        save_card(till)
        with pytest.raises(errors.BadAutomatic):
            switch_on(till, **change)
        assert not PaymentProfile.objects.get().automatic
