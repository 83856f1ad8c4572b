"""A numbered document that adds up, never changes, and says the same wherever it is read."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from pypdf import PdfReader

from accounts.kernel import ids
from accounts.models import Organisation
from billing import selectors, services
from billing.kernel.periods import market_date
from billing.kernel.words import parse_words
from billing.models import BillingProfile, Invoice, InvoiceLine, NumberSeries
from ledger import selectors as ledger
from ledger import services as ledger_services
from tests.billing.scene import EXACT_PER_FEN, LATER, issue, keyed, signed_in, use
from tests.metering_ingest.scene import HOUR, Bought
from tests.races.market.conftest import together
from tests.races.thread.conftest import bought as committed
from tests.races.thread.conftest import triggers_back

__all__ = ["committed", "triggers_back"]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def invoice(bought: Bought) -> Invoice:
    use(bought, 9_000, 1_000, times=7)
    use(bought, 7_000, 900, times=3, allocation=1, name="second")
    return issue(bought)


class TestFigures:
    def test_total_is_the_sum_of_lines_and_net_plus_tax(self, invoice: Invoice) -> None:
        lines = list(selectors.lines_of(invoice))

        assert invoice.total_fen == sum(line.amount_fen for line in lines) == invoice.net_fen + invoice.tax_fen
        assert invoice.net_fen == sum(line.net_fen for line in lines)
        assert abs(invoice.net_fen * 10_600 - invoice.total_fen * 10_000) <= 5_300
        assert invoice.exact == sum(part.exact for line in lines for part in selectors.rated_parts(line))

    def test_the_rounding_is_printed(self, invoice: Invoice) -> None:
        figures = invoice.figures

        assert invoice.exact - invoice.total_fen * EXACT_PER_FEN == invoice.rounding_exact
        assert Decimal(figures["rounding"]) == Decimal(int(invoice.rounding_exact)).scaleb(-18)
        assert Decimal(figures["exact_amount"]) == Decimal(figures["total"]) + Decimal(figures["rounding"])

    def test_the_words_say_the_total(self, invoice: Invoice) -> None:
        assert parse_words(invoice.figures["total_words_zh"]) == invoice.total_fen
        assert Decimal(invoice.figures["total"]) * 100 == invoice.total_fen

    def test_the_rounding_account_holds_the_difference_to_whole_fen(self, invoice: Invoice) -> None:
        account = ledger_services.open_account(organisation_id=None, kind="rounding")

        assert invoice.settled_micros != invoice.total_fen * 10_000
        assert ledger.balance(account).posted_micros == invoice.settled_micros - invoice.total_fen * 10_000
        assert selectors.verify() == [] and ledger.verify() == []


class TestNothing:
    def test_to_invoice_is_409(self, bought: Bought) -> None:
        with pytest.raises(services.NothingToInvoice) as refused:
            issue(bought)

        assert (refused.value.code, refused.value.status) == ("nothing_to_invoice", 409)
        assert not NumberSeries.objects.filter(last__gt=0).exists()

    def test_less_than_a_fen_is_carried_into_the_next_invoice(self, bought: Bought) -> None:
        use(bought, 1, 1)
        with pytest.raises(services.NothingToInvoice):
            issue(bought)

        use(bought, 9_000, 1_000, times=5, name="more", at=MINUTE)

        assert sum(line.micro_st for line in selectors.lines_of(issue(bought))) == sum(
            micro_st for micro_st, _ in selectors.rated_by_allocation([a.id for a in bought.allocations]).values()
        )

    def test_a_second_invoice_of_the_same_usage(self, bought: Bought, invoice: Invoice) -> None:
        with pytest.raises(services.NothingToInvoice):
            issue(bought)

    def test_may_be_issued_by_who_lacks_the_scope(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=5)

        answer = keyed(bought.buyer, "billing:read").post("/api/v1/invoices", headers={"idempotency-key": "a"})

        assert answer.status_code == 403
        assert Invoice.objects.count() == 0


class TestNumbers:
    def test_have_no_gap_after_a_lost_transaction(self, bought: Bought) -> None:
        for n in range(2):
            use(bought, 9_000, 1_000, times=3, name=f"b{n}", at=n * MINUTE)
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                issue(bought)
                raise ZeroDivisionError
            issue(bought)

        assert sorted(Invoice.objects.values_list("number", flat=True)) == [1, 2]
        assert selectors.verify() == []

    def test_have_no_gap_under_racing_threads(self, committed: Bought) -> None:
        """Two issue at once, of which one finds nothing left, while two others take a number and lose it."""

        def lose() -> None:
            with transaction.atomic():
                issue(committed)
                raise ZeroDivisionError

        numbers: list[int] = []
        for n in range(4):
            use(committed, 9_000, 1_000, times=2, name=f"b{n}", at=n * MINUTE)
            found = together(lose, lambda: issue(committed), lose, lambda: issue(committed))
            numbers += [one.number for one in found if isinstance(one, Invoice)]
            assert all(isinstance(one, Invoice | ZeroDivisionError | services.NothingToInvoice) for one in found)

        assert numbers == [1, 2, 3, 4]
        assert sorted(Invoice.objects.values_list("number", flat=True)) == numbers
        assert selectors.verify() == [] and ledger.verify() == []


class TestPeriods:
    def test_are_invoiced_when_ended_and_past_their_grace(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=7)
        ended = datetime(2026, 11, 30, 16, tzinfo=UTC)  # the month's last midnight in Shanghai

        assert services.invoice_ended_periods(now=ended + timedelta(hours=72) - timedelta(seconds=1)) == 0
        assert services.invoice_ended_periods(now=ended + timedelta(hours=72)) == 1
        assert services.invoice_ended_periods(now=ended + timedelta(hours=73)) == 0

    def test_follow_the_organisations_profile(self, bought: Bought) -> None:
        BillingProfile.objects.create(organisation_id=bought.buyer.organisation_id, period="day", grace_hours=1)
        use(bought, 9_000, 1_000, times=7)
        ended = datetime(2026, 11, 25, 16, tzinfo=UTC)  # the window is in the first hour of the 25th in Shanghai

        assert services.invoice_ended_periods(now=ended) == 0
        assert services.invoice_ended_periods(now=ended + timedelta(hours=1)) == 1
        assert {line.delivery_date for line in InvoiceLine.objects.all()} == {market_date(HOUR)}


class TestImmutable:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE billing_invoice SET number = number + 1",
            "UPDATE billing_invoice SET issued_at = issued_at + interval '1 day'",
            "UPDATE billing_invoice SET due_fen = 7",
            "UPDATE billing_invoice SET organisation_id = (SELECT id FROM accounts_organisation LIMIT 1 OFFSET 1), "
            "settled_micros = 0",
            "TRUNCATE billing_invoice CASCADE",
            "UPDATE billing_invoiceline SET micro_st = micro_st",
            "TRUNCATE billing_invoiceline CASCADE",
            "DELETE FROM billing_invoicefile",
            "TRUNCATE billing_invoicefile",
            "UPDATE billing_ratedline SET live = false, invoice_line_id = NULL",
            "UPDATE billing_ratedline SET price_micros = price_micros + 1, exact = micro_st * (price_micros + 1)",
            "UPDATE billing_ratedline SET rated_at = now()",
            "DELETE FROM billing_ratedline",
            "TRUNCATE billing_ratedline",
            "UPDATE billing_dayclose SET payable_micros = payable_micros",
            "DELETE FROM billing_dayclose",
            "TRUNCATE billing_dayclose",
            "UPDATE billing_topup SET amount_micros = 1",
            "TRUNCATE billing_topup",
        ],
    )
    def test_is_what_the_database_keeps(self, bought: Bought, invoice: Invoice, statement: str) -> None:
        services.invoice_file(invoice.id, kind="csv", language="en", actor=bought.buyer, now=LATER)
        services.close_days(now=LATER)
        connection.check_constraints()

        with pytest.raises(IntegrityError, match=r"never chang|is invoiced"), transaction.atomic():
            connection.cursor().execute(statement)

    def test_is_all_but_the_state_of_payment(self, invoice: Invoice) -> None:
        Invoice.objects.filter(id=invoice.id).update(state=Invoice.State.OPEN)

        assert Invoice.objects.get(id=invoice.id).state == Invoice.State.OPEN

    def test_is_every_file_even_after_the_organisation_changed_its_name(self, bought: Bought, invoice: Invoice) -> None:
        before = Invoice.objects.values().get(id=invoice.id)
        Organisation.objects.filter(id=bought.buyer.organisation_id).update(name="Other", legal_name="Other Ltd")
        use(bought, 9_000, 1_000, times=3, name="later", at=MINUTE)
        issue(bought)

        document = services.invoice_file(invoice.id, kind="pdf", language="en", actor=bought.buyer, now=LATER)
        again = services.invoice_file(invoice.id, kind="pdf", language="en", actor=bought.buyer, now=LATER + MINUTE)

        assert Invoice.objects.values().get(id=invoice.id) == before
        assert "Other" not in _text(document.content)
        assert (again.content, again.sha256) == (document.content, document.sha256)


class TestForeign:
    def test_is_404_by_page_and_by_api(self, bought: Bought, invoice: Invoice) -> None:
        public = ids.encode("inv", invoice.id)

        for stranger in (bought.stranger, bought.provider):
            pages, api = signed_in(stranger), keyed(stranger)
            for suffix in ("", "pdf", "csv"):
                assert pages.get(f"/billing/invoices/{public}/{suffix}").status_code == 404
            for suffix in ("", "/pdf", "/csv"):
                answer = api.get(f"/api/v1/invoices/{public}{suffix}")
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert api.get("/api/v1/invoices").json()["data"] == []
            assert invoice.figures["number"] not in pages.get("/billing/invoices/").content.decode()

    @pytest.mark.parametrize("public", ["inv_0", "ord_00000000000000000000000000", "x", "1"])
    def test_looks_like_what_does_not_exist(self, bought: Bought, invoice: Invoice, public: str) -> None:
        assert signed_in(bought.buyer).get(f"/billing/invoices/{public}/").status_code == 404
        assert keyed(bought.buyer).get(f"/api/v1/invoices/{public}").status_code == 404


class TestSaysTheSame:
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_in_page_pdf_csv_and_api_digit_by_digit(self, bought: Bought, invoice: Invoice, language: str) -> None:
        public, api = ids.encode("inv", invoice.id), keyed(bought.buyer)
        detail = api.get(f"/api/v1/invoices/{public}").json()
        pdf = _text(api.get(f"/api/v1/invoices/{public}/pdf?lang={language}").content)
        table = api.get(f"/api/v1/invoices/{public}/csv").content.decode("utf-8-sig")
        page = re.sub(r"\s|<[^>]*>|,", "", signed_in(bought.buyer, language="zh-hans" if language == "zh" else "en")
                      .get(f"/billing/invoices/{public}/").content.decode())  # fmt: skip

        rows = list(csv.DictReader(io.StringIO(table)))
        lines = detail["figures"]["lines"]
        assert [row["row"] for row in rows] == ["line"] * len(lines) + ["rounding", "total"]
        for row, line in zip(rows, lines, strict=False):
            for name in ("amount", "net", "tax", "quantity_million_st", "exact_amount", "delivery_date"):
                assert row[name] == line[name], name
            for text in (line["amount"], line["quantity_million_st"]):
                assert text in pdf and text in page
        for name in ("net", "tax"):
            assert rows[-1][name] == detail[name] == detail["figures"][name]
            assert detail[name] in pdf and detail[name] in page
        assert rows[-1]["amount"] == detail["total"] == f"{Decimal(invoice.total_fen) / 100:.2f}"
        assert rows[-2]["exact_amount"] == detail["figures"]["rounding"]
        assert detail["figures"]["rounding"].lstrip("-") in pdf
        assert detail["figures"]["total_words_zh" if language == "zh" else "total_words_en"].replace(" ", "") in pdf
        assert rows[-1]["digest"] == detail["verification"]
        code = "-".join(re.findall("....", detail["verification"])[:5])
        for text in (detail["total"], invoice.figures["number"], code):
            assert text in pdf and text in page

    def test_in_a_second_request_byte_by_byte(self, bought: Bought, invoice: Invoice) -> None:
        public, api, pages = ids.encode("inv", invoice.id), keyed(bought.buyer), signed_in(bought.buyer)

        for kind in ("pdf", "csv"):
            first = api.get(f"/api/v1/invoices/{public}/{kind}?lang=en")
            second = pages.get(f"/billing/invoices/{public}/{kind}?lang=en")
            assert first.content == second.content
            assert first["X-Content-SHA256"] == second["X-Content-SHA256"]

    def test_by_post_once_however_often_it_is_sent(self, bought: Bought, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("accounts.selectors.clock.now", lambda: LATER)
        use(bought, 9_000, 1_000, times=5)
        api = keyed(bought.buyer, "billing:read", "billing:write")

        answers = [api.post("/api/v1/invoices", headers={"idempotency-key": "one"}) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
        assert Invoice.objects.count() == 1


def _text(pdf: bytes) -> str:
    return "".join("".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages).replace(",", "")
