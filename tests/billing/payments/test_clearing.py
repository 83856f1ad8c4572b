"""Stripe's list beside the ledger, and the rules that `verify` reads back."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from accounts.selectors import clock
from billing import selectors, services
from billing.payment_models import ClearingEntry, Payment
from tests.billing.payments.conftest import Till, later
from tests.billing.scene import tamper

pytestmark = pytest.mark.django_db


def differences() -> list[tuple[Any, ...]]:
    return [(one.what, one.theirs_fen, one.ours_fen) for one in selectors.payments.clearing().differences]


class TestClearing:
    def test_both_sides_are_equal_after_payments_and_refunds(self, till: Till) -> None:
        till.refund(till.paid(10_000), 2_500)
        till.paid(5_000)

        assert services.payments.clearing.read(now=clock.now()) == 3
        assert services.payments.clearing.read(now=later(1)) == 0

        found = selectors.payments.clearing()
        assert (found.paid_in_fen, found.sent_back_fen, found.ledger_fen) == (15_000, -2_500, 12_500)
        assert found.stripe_fen == found.ledger_fen
        assert found.fees_fen == 15_000 * 29 // 1000
        assert found.differences == []

    def test_reads_on_beyond_a_page(self, till: Till) -> None:
        session = Payment.objects.get(id=till.paid(100)).session_id
        intent = till.books.objects[till.books.get(session, "checkout.session")["payment_intent"]]
        for _ in range(150):
            till.books._money("stripe_fee", -1, 0, intent)
        assert services.payments.clearing.read(now=clock.now()) == 151

    def test_money_that_is_nobodys_here_is_listed(self, till: Till) -> None:
        intent = till.books._intent(700, "cny", None, {})
        till.books._capture(intent, "card")
        services.payments.clearing.read(now=clock.now())
        assert differences() == [("not_ours", 700, None)]

    def test_a_refund_in_stripes_dashboard_is_listed(self, till: Till) -> None:
        made = till.paid(10_000)
        till.books.refund({"payment_intent": Payment.objects.get(id=made).intent_id, "amount": "300"})
        services.payments.clearing.read(now=clock.now())
        assert differences() == [("not_ours", -300, None)]

    def test_a_dispute_is_listed(self, till: Till) -> None:
        made = till.open(10_000)
        till.pay(made, number="4000000000000259")
        services.payments.check(made, now=clock.now())
        services.payments.clearing.read(now=clock.now())
        assert differences() == [("other", -10_000, None)]

    def test_what_stripe_does_not_have_is_listed_after_an_hour(self, till: Till) -> None:
        till.paid(10_000)
        till.books.objects = {
            key: one for key, one in till.books.objects.items() if one["object"] != "balance_transaction"
        }
        services.payments.clearing.read(now=clock.now())
        assert differences() == []
        services.payments.clearing.read(now=later(90))
        assert differences() == [("not_theirs", None, 10_000)]

    def test_another_amount_is_listed(self, till: Till) -> None:
        till.paid(10_000)
        till.books.of("balance_transaction")[0]["amount"] = 9_000
        services.payments.clearing.read(now=clock.now())
        assert differences() == [("amount", 9_000, 10_000)]

    def test_the_command_prints_both_sides_and_ends_with_1_on_a_difference(self, till: Till) -> None:
        made, out = till.paid(10_000), StringIO()
        call_command("stripe_clearing", stdout=out)
        assert "0 differences" in out.getvalue() and "100.00" in out.getvalue()
        till.books.refund({"payment_intent": Payment.objects.get(id=made).intent_id, "amount": "300"})
        with pytest.raises(SystemExit) as ended:
            call_command("stripe_clearing", stdout=out)
        assert ended.value.code == 1
        assert "not_ours" in out.getvalue() and "Stripe -3.00, ledger -" in out.getvalue()

    def test_is_read_once_a_night(self, till: Till) -> None:
        till.paid(10_000)
        assert services.payments.clearing.read_if_due(now=clock.now()) == 1
        till.paid(10_000)
        assert services.payments.clearing.read_if_due(now=later(60)) == 0
        assert services.payments.clearing.read_if_due(now=later(60 * 21)) == 1
        assert ClearingEntry.objects.count() == 2


class TestVerify:
    @pytest.mark.parametrize(("statement", "tables", "rule"), [
        ("UPDATE billing_payment SET state = 'failed', settled_at = NULL", ["billing_payment"], "a settled payment"),
        ("UPDATE billing_payment SET amount_fen = amount_fen + 1", ["billing_payment"], "a settled payment"),
        ("UPDATE ledger_transfer SET key = 'payment:nobody' WHERE key LIKE 'payment:%'", ["ledger_transfer"], "a settled payment"),
        ("UPDATE billing_refund SET state = 'failed'", ["billing_refund"], "a settled refund"),
        ("UPDATE billing_refund SET state = 'pending'", ["billing_refund"], "a refund on its way"),
        ("UPDATE billing_refund SET amount_fen = amount_fen * 9", ["billing_refund"], "refunds <="),
    ])  # fmt: skip
    def test_names_what_was_tampered_with(self, till: Till, statement: str, tables: list[str], rule: str) -> None:
        till.refund(till.paid(10_000), 2_500)
        assert selectors.verify() == []

        tamper(statement, *tables)

        assert any(breach.rule.startswith(rule) for breach in selectors.verify())
