"""The wallet's page and its movements; top-ups by page and REST; the mail of an invoice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts import services as accounts
from accounts.kernel import ids
from accounts.models import User
from accounts.services import members
from billing.models import TopUp
from ledger import selectors as ledger
from tests.billing.scene import LATER, issue, keyed, signed_in, use
from tests.metering_ingest.scene import NOW, Bought

pytestmark = pytest.mark.django_db
YUAN = 10**6


def staff(bought: Bought) -> Client:
    user_id = members.add(
        organisation_id=bought.operator.organisation_id, email="staff@x.example", role="owner", is_staff=True, now=NOW
    )
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.get(id=user_id))
    return client


def body(bought: Bought, **change: str) -> dict[str, str]:
    given = {"organisation": ids.encode("org", bought.buyer.organisation_id), "amount": "12.5", "reference": "BANK-1"}
    return {**given, **change}


def record(client: Client, given: dict[str, Any]) -> Any:
    return client.post("/api/v1/top-ups", given, content_type="application/json")


class TestBalance:
    def test_movements_add_up_to_the_wallet(self, bought: Bought) -> None:
        use(bought, 4_000, 2_000, times=5)
        api = keyed(bought.buyer)

        rows = api.get("/api/v1/movements").json()["data"]

        assert {row["kind"] for row in rows} == {"top_up", "usage"}
        assert sum(Decimal(row["change"]) for row in rows) == Decimal(api.get("/api/v1/balance").json()["posted"])

    def test_the_page_shows_them_and_where_to_pay_in(self, bought: Bought) -> None:
        use(bought, 4_000, 2_000, times=5)
        text = signed_in(bought.buyer).get("/billing/balance/").content.decode()
        assert "Bank transfer" in text and "Usage" in text
        assert ids.encode("org", bought.buyer.organisation_id) in text

    def test_pages_go_on_where_the_last_ended(self, bought: Bought) -> None:
        for number in range(105):
            record(keyed(bought.operator, "billing:write"), body(bought, reference=f"B-{number}"))
        api = keyed(bought.buyer)
        first = api.get("/api/v1/movements").json()
        rest = api.get(f"/api/v1/movements?cursor={first['next']}").json()
        found = [row["id"] for row in first["data"] + rest["data"]]
        assert rest["next"] is None
        assert len(found) == len(set(found)) == 106
        browser = signed_in(bought.buyer)
        assert "?before=" in browser.get("/billing/balance/").content.decode()

    def test_a_bad_cursor_is_400(self, bought: Bought) -> None:
        assert keyed(bought.buyer).get("/api/v1/movements?cursor=-1").json()["code"] == "bad_cursor"

    def test_an_organisation_without_a_wallet_sees_an_empty_page(self, bought: Bought) -> None:
        assert signed_in(bought.provider).get("/billing/balance/").status_code == 200
        assert keyed(bought.provider).get("/api/v1/movements").json() == {"data": [], "next": None}

    def test_is_not_for_viewers(self, bought: Bought) -> None:
        assert signed_in(bought.buyer, "viewer").get("/billing/balance/").status_code == 403


class TestTopUps:
    def test_a_program_of_the_operator_credits_a_transfer_once(self, bought: Bought) -> None:
        before = ledger.wallet(bought.buyer.organisation_id).posted_micros
        api = keyed(bought.operator, "billing:write")

        answers = [record(api, body(bought)) for _ in range(2)]

        assert [one.status_code for one in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
        assert answers[0].json()["amount"] == "12.50"
        assert ledger.wallet(bought.buyer.organisation_id).posted_micros == before + 12_500_000

    @pytest.mark.parametrize(("change", "status", "code"), [
        ({"amount": "-1"}, 400, "invalid"),
        ({"amount": "1.005"}, 400, "invalid"),
        ({"amount": "NaN"}, 400, "invalid"),
        ({"amount": "0"}, 422, "bad_amount"),
        ({"organisation": "org_nobody"}, 422, "unknown_organisation"),
        ({"reference": "a\x00b"}, 400, None),
        ({"more": "1"}, 400, "unknown_field"),
    ])  # fmt: skip
    def test_bad_input_writes_nothing(
        self, bought: Bought, change: dict[str, str], status: int, code: str | None
    ) -> None:
        count = TopUp.objects.count()
        answer = record(keyed(bought.operator, "billing:write"), body(bought, **change))
        assert answer.status_code == status, answer.content
        assert code in (None, answer.json()["code"])
        assert TopUp.objects.count() == count

    def test_a_provider_gets_none(self, bought: Bought) -> None:
        given = body(bought, organisation=ids.encode("org", bought.provider.organisation_id))
        assert record(keyed(bought.operator, "billing:write"), given).json()["code"] == "unknown_organisation"

    def test_a_buyer_cannot_pay_itself(self, bought: Bought) -> None:
        assert record(keyed(bought.buyer, "billing:write"), body(bought)).status_code == 403
        assert signed_in(bought.buyer, "owner").get("/staff/top-ups/").status_code == 403
        assert signed_in(bought.buyer, "owner").post("/staff/top-ups/", {}).status_code == 403

    def test_each_sees_its_own(self, bought: Bought) -> None:
        record(keyed(bought.operator, "billing:write"), body(bought))
        own = keyed(bought.buyer).get("/api/v1/top-ups").json()["data"]
        assert "BANK-1" in {row["reference"] for row in own}
        others = keyed(bought.stranger).get("/api/v1/top-ups").json()["data"]
        assert "BANK-1" not in {row["reference"] for row in others}

    def test_staff_record_one_by_page(self, bought: Bought) -> None:
        client = staff(bought)
        form = {"organisation": str(bought.buyer.organisation_id), "amount": "5000.00", "reference": "BANK-7"}

        shown = client.post("/staff/top-ups/", form, follow=True).content.decode()
        assert "BANK-7" in shown and "5,000.00" in shown
        differs = client.post("/staff/top-ups/", {**form, "amount": "6000"})
        assert differs.status_code == 422 and "recorded before" in differs.content.decode()
        assert client.post("/staff/top-ups/", {**form, "amount": "1.001", "reference": "B-8"}).status_code == 422


class TestMail:
    def test_finance_members_hear_of_an_invoice(self, bought: Bought) -> None:
        signed_in(bought.buyer, "finance")
        signed_in(bought.buyer, "viewer")
        use(bought, 4_000, 2_000, times=5)
        invoice = issue(bought)

        accounts.outbox.relay(now=LATER)

        (message,) = mail.outbox
        assert message.to == [f"finance@{bought.buyer.organisation_id}.example"]
        assert invoice.figures["number"] in message.subject
        assert ids.encode("inv", invoice.id) in message.body

    def test_without_a_finance_member_its_owners_do(self, bought: Bought) -> None:
        signed_in(bought.buyer, "owner")
        use(bought, 4_000, 2_000, times=5)
        issue(bought)
        accounts.outbox.relay(now=LATER)
        assert [message.to for message in mail.outbox] == [[f"owner@{bought.buyer.organisation_id}.example"]]
