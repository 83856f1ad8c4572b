"""A top-up on Stripe's page: the wallet moves once, when the retrieved object says paid, and at no other time."""

from __future__ import annotations

import pytest
from django.db import Error, connection, transaction

from accounts.selectors import clock
from billing import selectors, services
from billing.payment_models import Payment
from billing.services.payments import errors
from ledger import selectors as ledger
from tests.billing.payments.conftest import Till, later

YUAN = 10**6
pytestmark = pytest.mark.django_db


class TestTopUp:
    def test_is_credited_when_stripe_says_paid(self, till: Till) -> None:
        before = till.wallet()
        made = till.open(12_345)
        assert till.state(made) == "pending"
        assert Payment.objects.get(id=made).url.startswith(till.address)
        assert till.wallet() == before

        till.pay(made)
        services.payments.check(made, now=clock.now())

        assert till.state(made) == "settled"
        assert till.wallet() == before + 12_345 * 10_000
        assert ledger.verify() == [] and selectors.verify() == []

    def test_is_credited_once_however_often_stripe_is_asked(self, till: Till) -> None:
        before = till.wallet()
        made = till.paid()

        for _ in range(3):
            services.payments.check(made, now=clock.now())
        till.deliver_all()

        assert till.wallet() == before + 100 * YUAN

    def test_is_not_credited_by_coming_back_without_paying(self, till: Till) -> None:
        before = till.wallet()
        made = till.open()
        assert services.payments.check(made, now=clock.now()) == "pending"
        assert till.wallet() == before

    @pytest.mark.parametrize("number", ["4000000000000002", "4000000000009995"])
    def test_that_is_declined_stays_open_for_another_card(self, till: Till, number: str) -> None:
        before = till.wallet()
        made = till.open()
        assert till.pay(made, number=number) == "declined"
        till.deliver_all()
        assert till.state(made) == "pending"
        assert till.wallet() == before

        assert till.pay(made) == "done"
        till.deliver_all()
        assert till.state(made) == "settled"
        assert till.wallet() == before + 100 * YUAN

    def test_asks_for_3d_secure(self, till: Till) -> None:
        made = till.open()
        assert till.pay(made, number="4000002760003184") == "authenticate"
        assert till.pay(made, number="4000002760003184", authenticated=False) == "declined"
        assert services.payments.check(made, now=clock.now()) == "pending"
        assert till.pay(made, number="4000002760003184", authenticated=True) == "done"
        assert services.payments.check(made, now=clock.now()) == "settled"

    @pytest.mark.parametrize("method", ["alipay", "wechat_pay"])
    def test_may_be_decided_after_the_buyer_came_back(self, till: Till, method: str) -> None:
        before = till.wallet()
        made = till.open()
        till.pay(made, method=method, later=True)
        till.deliver_all()
        assert till.state(made) == "pending"
        assert till.wallet() == before

        till.books.finish_later(Payment.objects.get(id=made).session_id, paid=True)
        till.deliver_all()
        assert till.state(made) == "settled"
        assert till.wallet() == before + 100 * YUAN

    def test_that_fails_after_the_buyer_came_back_is_failed(self, till: Till) -> None:
        before = till.wallet()
        made = till.open()
        till.pay(made, method="wechat_pay", later=True)
        till.books.finish_later(Payment.objects.get(id=made).session_id, paid=False)
        till.deliver_all()
        assert till.state(made) == "failed"
        assert Payment.objects.get(id=made).reason == "generic_decline"
        assert till.wallet() == before

    def test_expires_with_its_page(self, till: Till) -> None:
        made = till.open()
        till.books.expire(Payment.objects.get(id=made).session_id)
        till.deliver_all()
        assert till.state(made) == "expired"


class TestAnAnswerThatIsLost:
    @pytest.mark.parametrize("fault", ["hang", "cut", "error", "never"])
    def test_leaves_the_attempt_unknown_until_the_same_key_is_answered(self, till: Till, fault: str) -> None:
        till.plan(("POST /v1/checkout/sessions", fault))
        made = till.open()
        assert till.state(made) == "unknown"
        assert Payment.objects.get(id=made).reason == "no_answer"

        assert services.payments.check(made, now=clock.now()) == "pending"

        assert len(till.books.of("checkout.session")) == 1
        keys = {key for method, path, key in till.stripe.calls if path == "/v1/checkout/sessions"}
        assert keys == {f"payment:{made}:session"}

    def test_is_found_by_the_clock(self, till: Till) -> None:
        till.plan(("POST /v1/customers", "hang"))
        made = till.open()
        assert till.state(made) == "unknown"

        services.payments.tick(now=later(1))

        assert till.state(made) == "pending"
        assert len(till.books.of("customer")) == 1

    def test_a_webhook_may_know_more_than_we_do(self, till: Till) -> None:
        before = till.wallet()
        till.plan(("POST /v1/checkout/sessions", "cut"))
        made = till.open()
        till.books.pay(till.books.of("checkout.session")[0]["id"])

        till.deliver_all()

        assert till.state(made) == "settled"
        assert till.wallet() == before + 100 * YUAN

    def test_whose_page_cannot_open_any_more_fails(self, till: Till) -> None:
        till.plan(*[("POST /v1/checkout/sessions", "never")] * 2)
        made = till.open()
        services.payments.tick(now=later(1))
        assert till.state(made) == "unknown"
        services.payments.tick(now=later(45))
        assert till.state(made) == "failed"
        assert Payment.objects.get(id=made).reason == "not_opened"

    def test_a_lost_webhook_is_found_by_the_clock(self, till: Till) -> None:
        before = till.wallet()
        made = till.open()
        till.pay(made)
        services.payments.tick(now=later(1))
        assert till.state(made) == "settled"
        assert till.wallet() == before + 100 * YUAN


class TestRefusals:
    @pytest.mark.parametrize("fen", [0, -1, 99, 100_000_001])
    def test_an_amount_out_of_range(self, till: Till, fen: int) -> None:
        with pytest.raises(errors.BadAmount):
            till.open(fen)
        assert not Payment.objects.exists()

    def test_without_a_key_of_stripes(self, till: Till, settings: object) -> None:
        settings.STRIPE_SECRET_KEY = ""  # type: ignore[attr-defined]
        with pytest.raises(errors.NotConfigured):
            till.open()
        assert services.payments.tick(now=later(1)) == 0

    def test_a_key_that_stripe_does_not_know_fails_the_attempt(self, till: Till, settings: object) -> None:
        settings.STRIPE_SECRET_KEY = "sk_wrong"  # type: ignore[attr-defined]
        made = till.open()
        assert till.state(made) == "failed"


class TestWhatNeverChanges:
    @pytest.mark.parametrize("change", [
        "amount_fen = 1", "state = 'failed', settled_at = NULL", "session_id = 'cs_other'", "currency = 'USD'",
    ])  # fmt: skip
    def test_of_a_settled_payment(self, till: Till, change: str) -> None:
        made = till.paid()
        with pytest.raises(Error, match="keeps what it asked for"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE billing_payment SET {change} WHERE id = %s", [made])

    def test_it_is_never_deleted(self, till: Till) -> None:
        made = till.paid()
        with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM billing_payment WHERE id = %s", [made])
