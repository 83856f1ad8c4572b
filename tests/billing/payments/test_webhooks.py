"""Webhooks: whatever order, however often, forged or lost, the books come out the same."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from django.db import Error, connection, transaction
from django.test import Client

from accounts.selectors import clock
from billing import services
from billing.payment_models import Payment, Refund, StripeEvent
from billing.services.payments.webhooks import BadWebhook
from tests.billing.payments.conftest import SECRET, Till, later
from tests.fakes.stripe import signing

YUAN = 10**6
pytestmark = pytest.mark.django_db


def one(till: Till, kind: str) -> dict[str, Any]:
    return copy.deepcopy(next(event for event in till.books.events if event["type"] == kind))


class TestReceiving:
    def test_stores_first_and_works_later(self, till: Till) -> None:
        before = till.wallet()
        made = till.open()
        till.pay(made)
        assert till.webhook(one(till, "checkout.session.completed"))
        assert StripeEvent.objects.get().state == "received"
        assert till.wallet() == before

        services.payments.tick(now=clock.now())

        assert till.wallet() == before + 100 * YUAN
        assert StripeEvent.objects.get().state == "done"

    def test_over_http_is_200_both_times(self, till: Till) -> None:
        till.pay(till.open())
        body = signing.body_of(one(till, "charge.succeeded"))
        answers = [
            Client().post("/webhooks/stripe", body, content_type="application/json",
                          headers={"stripe-signature": signing.signature(body, SECRET)})
            for _ in range(2)
        ]  # fmt: skip
        assert [answer.status_code for answer in answers] == [200, 200]
        assert StripeEvent.objects.count() == 1

    @pytest.mark.parametrize(
        "forged", ["another secret", "too old", "ahead", "changed", "no header", "nonsense", "no event"]
    )
    def test_refuses_what_stripe_did_not_sign_now(self, till: Till, forged: str) -> None:
        till.pay(till.open())
        body = signing.body_of(one(till, "checkout.session.completed"))
        now = clock.now().timestamp()
        signature = {
            "another secret": signing.signature(body, "whsec_other"),
            "too old": signing.signature(body, SECRET, at=now - 400),
            "ahead": signing.signature(body, SECRET, at=now + 400),
            "changed": signing.signature(body + b" ", SECRET),
            "no header": "",
            "nonsense": "t=x,v1=",
            "no event": signing.signature(b"[]", SECRET),
        }[forged]
        sent = b"[]" if forged == "no event" else body

        answer = Client().post("/webhooks/stripe", sent, content_type="application/json",
                               headers={"stripe-signature": signature})  # fmt: skip

        assert (answer.status_code, answer.json()["code"]) == (400, "bad_webhook")
        assert not StripeEvent.objects.exists()

    def test_is_not_there_without_stripe(self, till: Till, settings: Any) -> None:
        settings.STRIPE_SECRET_KEY = ""
        assert Client().post("/webhooks/stripe", b"{}", content_type="application/json").status_code == 404
        assert Client().get("/webhooks/stripe").status_code == 405

    def test_refuses_a_body_beyond_256_kib(self, till: Till) -> None:
        body = b" " * (256 * 1024 + 1)
        assert Client().post("/webhooks/stripe", body, content_type="application/json").status_code == 413


class TestWorking:
    def test_never_believes_the_payload(self, till: Till) -> None:
        """Signed, but saying what the object does not say: only the object counts."""
        before = till.wallet()
        made = till.open()
        till.books.expire(Payment.objects.get(id=made).session_id)
        event = one(till, "checkout.session.expired")
        event["type"] = "checkout.session.completed"
        event["data"]["object"].update(status="complete", payment_status="paid")
        till.webhook(event)
        services.payments.webhooks.work_due(now=clock.now())
        assert till.state(made) == "expired"
        assert till.wallet() == before

    @pytest.mark.parametrize(
        ("change", "reason"), [({"account": "acct_1"}, "other_account"), ({"livemode": True}, "mode_differs")]
    )
    def test_parks_what_is_not_of_this_account_and_mode(self, till: Till, change: dict[str, Any], reason: str) -> None:
        before = till.wallet()
        till.pay(till.open())
        till.webhook(one(till, "checkout.session.completed") | change)
        services.payments.webhooks.work_due(now=clock.now())
        assert (StripeEvent.objects.get().state, StripeEvent.objects.get().reason) == ("parked", reason)
        assert till.wallet() == before

    @pytest.mark.parametrize(("change", "reason"), [
        ({"amount_total": 1}, "amount_differs"), ({"currency": "usd"}, "currency_differs"), ({"livemode": True}, "mode_differs"),
    ])  # fmt: skip
    def test_another_amount_currency_or_mode_credits_nobody(
        self, till: Till, change: dict[str, Any], reason: str
    ) -> None:
        before = till.wallet()
        made = till.open()
        till.pay(made)
        till.books.of("checkout.session")[0].update(change)
        till.webhook(one(till, "checkout.session.completed"))

        for minutes in range(0, 24 * 60, 90):
            services.payments.webhooks.work_due(now=later(minutes))

        event = StripeEvent.objects.get()
        assert (event.state, event.reason, event.tries) == ("parked", reason, 8)
        assert Payment.objects.get(id=made).reason == reason
        assert till.wallet() == before

    def test_ignores_what_is_about_nothing_of_ours(self, till: Till) -> None:
        till.books.customer({"name": "somebody"})
        till.deliver_all()
        assert StripeEvent.objects.get().state == "ignored"

    def test_waits_longer_each_time_stripe_does_not_answer(self, till: Till) -> None:
        made = till.open()
        till.pay(made)
        till.webhook(one(till, "checkout.session.completed"))
        till.plan(*[("GET /v1/checkout/sessions", "error")] * 2)

        services.payments.webhooks.work_due(now=clock.now())
        assert (StripeEvent.objects.get().state, StripeEvent.objects.get().reason) == ("received", "no_answer")
        services.payments.webhooks.work_due(now=later(0.1))
        assert StripeEvent.objects.get().tries == 1
        services.payments.webhooks.work_due(now=later(1))
        services.payments.webhooks.work_due(now=later(10))

        assert till.state(made) == "settled"
        assert StripeEvent.objects.get().state == "done"

    def test_leaves_the_rest_for_the_next_tick_where_stripe_is_down(self, till: Till) -> None:
        for _ in range(3):
            till.pay(till.open())
        for event in till.events("checkout.session.completed"):
            till.webhook(event)
        till.plan(("GET /v1/checkout/sessions", "error"))
        assert services.payments.webhooks.work_due(now=clock.now()) == 1
        assert services.payments.webhooks.work_due(now=clock.now()) == 2
        assert StripeEvent.objects.filter(state="done").count() == 2

    def test_a_parked_one_may_be_tried_again(self, till: Till) -> None:
        made = till.open()
        till.pay(made)
        till.webhook(one(till, "checkout.session.completed"))
        StripeEvent.objects.update(state="parked", tries=8)
        services.payments.webhooks.retry(StripeEvent.objects.get().id, now=clock.now())
        services.payments.webhooks.work_due(now=clock.now())
        assert till.state(made) == "settled"

    def test_what_came_is_never_changed(self, till: Till) -> None:
        till.pay(till.open())
        till.webhook(one(till, "charge.succeeded"))
        with pytest.raises(Error, match="stays as it came"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE billing_stripeevent SET payload = '{}'")

    def test_a_refund_made_in_stripes_dashboard_waits_for_a_person(self, till: Till) -> None:
        made = till.paid()
        till.books.refund({"payment_intent": Payment.objects.get(id=made).intent_id})
        till.webhook(one(till, "refund.created"))
        services.payments.webhooks.work_due(now=clock.now())
        assert StripeEvent.objects.get().reason == "refund_not_ours"
        assert not Refund.objects.exists()

    def test_a_dispute_waits_for_a_person(self, till: Till) -> None:
        made = till.open()
        till.pay(made, number="4000000000000259")
        till.deliver_all()
        assert StripeEvent.objects.get(kind="charge.dispute.created").reason == "dispute_needs_staff"


class TestBadEvents:
    @pytest.mark.parametrize("event", [{}, {"id": "evt_1", "type": "x", "data": {}}, {"id": "e" * 81, "type": "x", "data": {"object": {}}},
                                       {"id": "evt_1", "type": "x", "data": {"object": {"id": "a\x00b"}}}])  # fmt: skip
    def test_are_400(self, till: Till, event: dict[str, Any]) -> None:
        body = json.dumps(event).encode()
        with pytest.raises(BadWebhook):
            services.payments.webhooks.receive(body=body, signature=signing.signature(body, SECRET), now=clock.now())
