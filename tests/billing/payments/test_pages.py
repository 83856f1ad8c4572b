"""Payments by page and REST: who may, what is refused with which code and sentence, and both languages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from accounts.kernel import ids
from accounts.models import User
from accounts.selectors import clock
from accounts.services import members
from billing import services
from billing.models import Invoice
from billing.payment_models import Payment, PaymentProfile
from billing.services.payments import errors
from billing.web.payment_words import explain, reason_words
from ledger import selectors as ledger
from ledger import services as moves
from tests.billing.payments.conftest import Till
from tests.billing.payments.test_automatic import save_card
from tests.billing.scene import keyed, signed_in

pytestmark = pytest.mark.django_db
CHINESE = re.compile(r"[\u4e00-\u9fff]")
YUAN = 10**6


def checkout(client: Client, body: Any, key: str = "k-1") -> Any:
    return client.post("/api/v1/top-ups/checkout", body, content_type="application/json",
                       headers={"idempotency-key": key})  # fmt: skip


def staff(till: Till) -> Client:
    user_id = members.add(
        organisation_id=till.staff.organisation_id,
        email="staff@x.example",
        role="owner",
        is_staff=True,
        now=clock.now(),
    )
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.get(id=user_id))
    return client


def owed_invoice(till: Till, fen: int = 12_300) -> Invoice:
    """An invoice with something due, as one made without money in the wallet has it."""
    now = clock.now()
    receivable = moves.open_account(organisation_id=till.buyer.organisation_id, kind="receivable")
    unbilled = moves.open_account(organisation_id=till.buyer.organisation_id, kind="unbilled")
    legs = (moves.Leg(receivable, "debit", fen * 10_000), moves.Leg(unbilled, "credit", fen * 10_000))
    moves.post([moves.TransferDraft(key="test:owed", kind="usage", legs=legs)], now=now)
    return Invoice.objects.create(
        organisation_id=till.buyer.organisation_id, series="T", number=1, state="open", currency="CNY", period_start=now,
        period_end=clock.now(), issued_at=now, net_fen=fen, tax_fen=0, total_fen=fen, exact=fen * 10**16,
        rounding_exact=0, settled_micros=0, due_fen=fen, figures={},
    )  # fmt: skip


class TestRest:
    def test_opens_stripes_page_once_for_a_key(self, till: Till) -> None:
        api = keyed(till.buyer, "billing:read", "billing:write")
        answers = [checkout(api, {"amount": "123.45"}) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [201, 201]
        body = answers[0].json()
        assert answers[1].json() == body
        assert (body["state"], body["amount"], body["currency"]) == ("pending", "123.45", "CNY")
        assert body["url"].startswith(till.address)
        assert len(till.books.of("checkout.session")) == Payment.objects.count() == 1

        till.pay(ids.decode("pay", body["id"]))
        checked = api.post(f"/api/v1/payments/{body['id']}/check").json()
        assert (checked["state"], checked["url"]) == ("settled", None)
        assert [row["id"] for row in api.get("/api/v1/payments").json()["data"]] == [body["id"]]

    @pytest.mark.parametrize(("body", "status", "code"), [
        ({"amount": "-1"}, 400, "invalid"), ({"amount": "1.005"}, 400, "invalid"), ({"amount": "NaN"}, 400, "invalid"),
        ({"amount": "1e5"}, 400, "invalid"), ({"amount": 5}, 400, "invalid"), ({}, 400, "invalid"),
        ({"amount": "5", "card": "4242"}, 400, "unknown_field"), ({"amount": "0.99"}, 422, "amount_out_of_range"),
        ({"amount": "1000000.01"}, 422, "amount_out_of_range"), ({"amount": "٥"}, 400, "invalid"),
    ])  # fmt: skip
    def test_bad_input_writes_nothing(self, till: Till, body: Any, status: int, code: str) -> None:
        answer = checkout(keyed(till.buyer, "billing:write"), body)
        assert answer.status_code == status, answer.content
        assert answer.json()["code"] == code
        assert not Payment.objects.exists()

    def test_a_key_is_needed_and_means_one_payload(self, till: Till) -> None:
        api = keyed(till.buyer, "billing:write")
        missing = api.post("/api/v1/top-ups/checkout", {"amount": "5"}, content_type="application/json")
        assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing")
        checkout(api, {"amount": "5"})
        assert checkout(api, {"amount": "6"}).json()["code"] == "idempotency_payload_differs"
        assert Payment.objects.count() == 1

    def test_refunds_and_their_refusals(self, till: Till) -> None:
        made = ids.encode("pay", till.paid(10_000))
        api = keyed(till.buyer, "billing:read", "billing:write")
        address = f"/api/v1/payments/{made}/refunds"

        def send(amount: str, key: str) -> Any:
            return api.post(
                address, {"amount": amount}, content_type="application/json", headers={"idempotency-key": key}
            )

        assert send("40", "r-1").json() == send("40", "r-1").json()
        beyond = send("60.01", "r-2")
        assert (beyond.status_code, beyond.json()["code"], beyond.json()["most_fen"]) == (
            422,
            "refund_beyond_payment",
            6_000,
        )
        assert [(row["amount"], row["state"]) for row in api.get(address).json()] == [("40.00", "settled")]
        assert ledger.wallet(till.buyer.organisation_id).posted_micros == 1_060 * YUAN

    def test_automatic_top_up(self, till: Till) -> None:
        api = keyed(till.buyer, "billing:read", "billing:write")
        body = {"enabled": True, "threshold": "100", "amount": "50", "monthly_cap": "500"}

        def put(given: Any) -> Any:
            return api.put("/api/v1/top-ups/automatic", given, content_type="application/json")

        assert (put(body).status_code, put(body).json()["code"]) == (409, "no_saved_method")
        save_card(till)
        assert put({**body, "monthly_cap": "49"}).json()["code"] == "bad_automatic_top_up"
        assert put({**body, "more": 1}).json()["code"] == "unknown_field"
        assert put(body).json() == {
            "enabled": True, "threshold": "100.00", "amount": "50.00", "monthly_cap": "500.00", "paused_reason": "",
            "card": "visa 4242",
        }  # fmt: skip
        assert put({"enabled": False}).json()["enabled"] is False

    def test_a_site_without_stripe_says_so(self, till: Till, settings: Any) -> None:
        settings.STRIPE_SECRET_KEY = ""
        answer = checkout(keyed(till.buyer, "billing:write"), {"amount": "5"})
        assert (answer.status_code, answer.json()["code"]) == (409, "stripe_not_configured")
        assert "Alipay" not in signed_in(till.buyer).get("/billing/balance/").content.decode()


class TestInvoices:
    def test_are_paid_once_and_what_is_over_goes_to_the_wallet(self, till: Till) -> None:
        invoice = owed_invoice(till)
        api = keyed(till.buyer, "billing:read", "billing:write")
        address = f"/api/v1/invoices/{ids.encode('inv', invoice.id)}/pay"

        def pay(key: str, **body: str) -> Any:
            return api.post(address, body, content_type="application/json", headers={"idempotency-key": key})

        before = till.wallet()
        opened = pay("p-1").json()
        assert (opened["amount"], opened["purpose"]) == ("123.00", "invoice")
        again = pay("p-2")
        assert (again.status_code, again.json()["code"], again.json()["payment"]) == (
            409,
            "payment_under_way",
            opened["id"],
        )

        till.pay(ids.decode("pay", opened["id"]))
        services.payments.check(ids.decode("pay", opened["id"]), now=clock.now())

        assert Invoice.objects.get().state == "paid"
        assert till.wallet() == before
        receivable = moves.open_account(organisation_id=till.buyer.organisation_id, kind="receivable")
        assert ledger.balance(receivable).posted_micros == 0
        assert pay("p-3").json()["code"] == "invoice_not_payable"
        assert ledger.verify() == []

    def test_with_the_saved_card(self, till: Till) -> None:
        invoice = owed_invoice(till)
        api = keyed(till.buyer, "billing:read", "billing:write")
        address = f"/api/v1/invoices/{ids.encode('inv', invoice.id)}/pay"
        send = {"content_type": "application/json", "headers": {"idempotency-key": "p"}}
        assert api.post(address, {"way": "saved"}, **send).json()["code"] == "no_saved_method"
        save_card(till)
        assert api.post(address, {"way": "saved"}, **send).json()["state"] == "settled"
        assert Invoice.objects.get().state == "paid"
        assert api.post(address, {"way": "cash"}, **send).json()["code"] == "invalid"


class TestWhoMay:
    def test_strangers_see_nothing(self, till: Till) -> None:
        made = ids.encode("pay", till.paid())
        stranger = keyed(till.stranger, "billing:read", "billing:write")
        for path in (made, f"{made}/refunds"):
            assert stranger.get(f"/api/v1/payments/{path}").status_code == 404
        assert stranger.post(f"/api/v1/payments/{made}/check").status_code == 404
        refund = stranger.post(f"/api/v1/payments/{made}/refunds", {"amount": "1"}, content_type="application/json",
                               headers={"idempotency-key": "x"})  # fmt: skip
        assert (refund.status_code, refund.json()["code"]) == (404, "unknown_payment")
        assert stranger.get("/api/v1/payments").json()["data"] == []
        page = signed_in(till.stranger, "owner")
        assert page.get(f"/billing/payments/{made}/").status_code == 404
        assert page.post(f"/billing/payments/{made}/check/").status_code == 404
        assert page.post(f"/billing/payments/{made}/refund/", {"amount": "1"}).status_code == 404
        assert page.get("/billing/payments/pay_nobody/").status_code == 404

    @pytest.mark.parametrize(("path", "method"), [
        ("top-ups/checkout", "post"), ("payments/cards", "post"), ("top-ups/automatic", "put"),
        ("payments/{made}/refunds", "post"), ("invoices/inv_1/pay", "post"),
    ])  # fmt: skip
    def test_reading_is_not_writing(self, till: Till, path: str, method: str) -> None:
        made = ids.encode("pay", till.paid())
        reader = keyed(till.buyer, "billing:read")
        answer = getattr(reader, method)(f"/api/v1/{path.format(made=made)}", {}, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
        assert Client().generic(method.upper(), f"/api/v1/{path.format(made=made)}").status_code == 401

    def test_a_trader_sees_the_balance_and_pays_nothing(self, till: Till) -> None:
        trader = signed_in(till.buyer, "trader")
        assert "can pay in" in trader.get("/billing/balance/").content.decode()
        for path in ("payments/", "card/", "card/remove/", "automatic/"):
            body = {"amount": "5", "threshold": "5", "monthly_cap": "5"}
            assert trader.post(f"/billing/{path}", body).status_code == 403, path
        assert signed_in(till.buyer, "viewer").post("/billing/payments/", {"amount": "5"}).status_code == 403
        assert not Payment.objects.exists()

    def test_finance_pays_and_only_the_owner_sends_back(self, till: Till) -> None:
        made = ids.encode("pay", till.paid())
        finance, owner = signed_in(till.buyer, "finance"), signed_in(till.buyer, "owner")
        assert "Send it back" not in finance.get(f"/billing/payments/{made}/").content.decode()
        assert finance.post(f"/billing/payments/{made}/refund/", {"amount": "1"}).status_code == 403
        assert "Send it back" in owner.get(f"/billing/payments/{made}/").content.decode()
        done = owner.post(f"/billing/payments/{made}/refund/", {"amount": "30"}, follow=True).content.decode()
        assert "30.00" in done
        over = owner.post(f"/billing/payments/{made}/refund/", {"amount": "70.01"})
        assert over.status_code == 422 and "CN¥70.00 is left" in over.content.decode()

    def test_staff_see_the_comparison_and_nobody_else(self, till: Till) -> None:
        till.paid()
        assert signed_in(till.buyer, "owner").get("/staff/clearing/").status_code == 403
        assert signed_in(till.buyer, "finance").post("/staff/clearing/").status_code == 403
        client = staff(till)
        assert "not read yet" in client.get("/staff/clearing/").content.decode()
        assert "No differences" in client.post("/staff/clearing/", follow=True).content.decode()


class TestPages:
    def test_lead_to_stripe_and_believe_only_stripe(self, till: Till) -> None:
        finance = signed_in(till.buyer)
        before = till.wallet()
        page = finance.post("/billing/payments/", {"amount": "250"}, follow=True)
        text = page.content.decode()
        made = Payment.objects.get()
        assert made.url in text and "4242" not in text and 'type="number"' not in text

        returned = finance.get(f"/billing/payments/{ids.encode('pay', made.id)}/?back=1").content.decode()
        assert till.wallet() == before
        assert "Pay on Stripe" in returned

        till.pay(made.id, method="alipay")
        Payment.objects.update(looked_at=None)
        returned = finance.get(f"/billing/payments/{ids.encode('pay', made.id)}/?back=1").content.decode()
        assert "Paid. The money is booked." in returned
        assert till.wallet() == before + 250 * YUAN
        assert "Paid in by card" in finance.get("/billing/balance/").content.decode()

    def test_say_that_we_do_not_know_yet(self, till: Till) -> None:
        till.plan(("POST /v1/checkout/sessions", "cut"))
        finance = signed_in(till.buyer)
        text = finance.post("/billing/payments/", {"amount": "250"}, follow=True).content.decode()
        assert "We do not know yet" in text and "Check now" in text
        made = ids.encode("pay", Payment.objects.get().id)
        text = finance.post(f"/billing/payments/{made}/check/", follow=True).content.decode()
        assert "We do not know yet" not in text

    def test_wait_with_a_fragment(self, till: Till) -> None:
        made = ids.encode("pay", till.open())
        fragment = (
            signed_in(till.buyer).get(f"/billing/payments/{made}/", headers={"hx-request": "true"}).content.decode()
        )
        assert "<html" not in fragment and "every 3s" in fragment

    @pytest.mark.parametrize("amount", ["", "x", "1.001", "-5", "0.5", "99999999"])
    def test_refuse_a_bad_amount_in_words(self, till: Till, amount: str) -> None:
        answer = signed_in(till.buyer).post("/billing/payments/", {"amount": amount}, follow=True)
        text = answer.content.decode()
        assert "at most two decimals" in text or "between CN¥1.00" in text
        assert not Payment.objects.exists()

    def test_save_a_card_and_top_up_automatically(self, till: Till) -> None:
        finance = signed_in(till.buyer)
        finance.post("/billing/card/")
        setup = Payment.objects.get()
        till.pay(setup.id)
        finance.get(f"/billing/payments/{ids.encode('pay', setup.id)}/?back=1")
        assert "ending in 4242" in finance.get("/billing/balance/").content.decode()
        form = {"threshold": "100", "amount": "50", "monthly_cap": "500", "do": "on"}
        assert "Automatic top-up is on." in finance.post("/billing/automatic/", form, follow=True).content.decode()
        assert (
            "threshold above 0"
            in finance.post("/billing/automatic/", {**form, "threshold": "0"}, follow=True).content.decode()
        )
        assert "is off." in finance.post("/billing/automatic/", {"do": "off"}, follow=True).content.decode()
        assert "is removed" in finance.post("/billing/card/remove/", follow=True).content.decode()
        assert PaymentProfile.objects.get().method_id == ""

    def test_are_chinese_too(self, till: Till) -> None:
        made = ids.encode("pay", till.open())
        client = signed_in(till.buyer, language="zh-hans")
        assert "在 Stripe 的页面付款" in client.get(f"/billing/payments/{made}/").content.decode()
        assert "微信支付" in client.get("/billing/balance/").content.decode()


def every(base: type) -> list[type]:
    return [found for one in base.__subclasses__() for found in (one, *every(one))]


class TestEveryRefusal:
    @pytest.mark.parametrize("error", every(errors.PaymentError), ids=lambda one: one.code)
    def test_has_a_sentence_in_both_languages(self, error: Any) -> None:
        raised = error("what the service says", most_fen=1_234)
        with translation.override("en"):
            english = explain(raised)
        with translation.override("zh-hans"):
            chinese = explain(raised)
        assert english != "what the service says" and english.endswith(".") and not CHINESE.search(english)
        assert CHINESE.search(chinese)

    def test_has_a_code_of_its_own(self) -> None:
        codes = [one.code for one in every(errors.PaymentError)]  # type: ignore[attr-defined]
        assert len(codes) == len(set(codes)) and "error" not in codes

    def test_a_banks_own_code_is_shown(self) -> None:
        assert "do_not_honor" in reason_words("do_not_honor")
