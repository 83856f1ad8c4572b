"""From settled usage to an invoice that never changes."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from pypdf import PdfReader

from accounts import services as accounts
from accounts.kernel import ids
from billing import selectors, services
from billing.kernel.words import parse_words
from billing.models import AllocationPosting, DayClose, Invoice, RatedLine, RatingException
from ledger import selectors as ledger
from ledger import services as ledger_services
from metering_ingest import services as metering
from tests.metering_ingest.scene import HOUR, NOW, Bought, build, event

SENT = HOUR + timedelta(minutes=2)
LATER = HOUR + timedelta(days=3)


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


def use(bought: Bought, *sizes: int, allocation: int = 0, name: str = "r", at: timedelta = timedelta(0)) -> None:
    """Meter requests of so many prompt and generated tokens, settle, and rate."""
    events = [
        event(bought.allocations[allocation], f"{name}{n}", prompt=size, generated=size) for n, size in enumerate(sizes)
    ]
    metering.ingest_records(events, sender=bought.operator, now=SENT + at)
    metering.settle(now=SENT + at, quiet_seconds=0)
    services.rate_settled(now=SENT + at)


class TestRating:
    def test_usage_is_rated_at_the_price_of_its_allocation_and_taken_from_its_hold(self, bought: Bought) -> None:
        before = ledger.wallet(bought.buyer.organisation_id)

        use(bought, 100, 200, 300)

        (line,) = RatedLine.objects.all()
        assert line.price_micros == bought.allocations[0].price_micros
        assert line.exact == line.micro_st * line.price_micros
        taken = int(line.exact) // 10**12
        after = ledger.wallet(bought.buyer.organisation_id)
        assert (before.posted_micros - after.posted_micros, before.held_micros - after.held_micros) == (taken, taken)
        assert selectors.verify() == [] and ledger.verify() == []

    def test_however_usage_is_split_the_same_is_posted(self, bought: Bought) -> None:
        for n in range(7):
            use(bought, 131 + n, name=f"part{n}-", at=timedelta(seconds=n))

        row = AllocationPosting.objects.get()
        exact = sum(int(line.exact) for line in RatedLine.objects.filter(live=True))
        assert row.posted_micros == exact // 10**12
        assert selectors.verify() == []

    def test_what_exceeds_an_allocation_is_surplus_of_the_next(self, bought: Bought) -> None:
        first, second = bought.allocations
        use(bought, *[9_000] * 14)

        rated = selectors.rated_by_allocation([first.id, second.id])
        assert rated[first.id][0] == first.quantity_st * 10**6
        assert 0 < rated[second.id][0] <= second.quantity_st * 10**6
        assert set(RatedLine.objects.values_list("source", flat=True)) == {"own", "surplus"}
        assert selectors.verify() == []

    def test_usage_beyond_everything_bought_is_parked_not_billed(self, bought: Bought) -> None:
        use(bought, *[9_000] * 40)

        assert RatingException.objects.get().reason == "overflow"
        bought_st = sum(one.quantity_st for one in bought.allocations)
        assert sum(line.micro_st for line in RatedLine.objects.filter(live=True)) == bought_st * 10**6
        assert ledger.verify() == []

    def test_usage_after_the_hold_is_gone_is_drawn_on_the_wallet(self, bought: Bought) -> None:
        ledger_services.expire_holds(now=HOUR + timedelta(hours=2), limit=100)
        assert ledger.wallet(bought.buyer.organisation_id).held_micros == 0

        use(bought, 500)

        posted = AllocationPosting.objects.get()
        assert posted.posted_micros > 0 and posted.owed_micros == 0
        assert selectors.verify() == [] and ledger.verify() == []


class TestInvoices:
    def issue(self, bought: Bought) -> Invoice:
        return Invoice.objects.get(id=services.invoice_to_date(actor=bought.buyer, now=LATER))

    def test_adds_up_and_names_its_rounding(self, bought: Bought) -> None:
        use(bought, *[700] * 60)

        invoice = self.issue(bought)

        lines = list(selectors.lines_of(invoice))
        assert invoice.total_fen == sum(line.amount_fen for line in lines) == invoice.net_fen + invoice.tax_fen
        assert invoice.exact == invoice.total_fen * 10**16 + invoice.rounding_exact
        assert parse_words(invoice.figures["total_words_zh"]) == invoice.total_fen
        assert (invoice.number, invoice.figures["number"]) == (1, "TS-000001")
        assert selectors.verify() == [] and ledger.verify() == []

    def test_later_usage_makes_a_line_of_its_own_and_changes_no_issued_one(self, bought: Bought) -> None:
        use(bought, *[700] * 60)
        first = self.issue(bought)
        micro_st = sum(line.micro_st for line in selectors.lines_of(first))

        use(bought, *[600] * 60, name="later", at=timedelta(minutes=1))
        second = self.issue(bought)

        assert (first.number, second.number) == (1, 2)
        assert RatedLine.objects.filter(live=True, invoice_line__invoice=first).count() >= 1
        assert sum(line.micro_st for line in selectors.lines_of(first)) == micro_st
        assert selectors.verify() == []

    def test_there_is_none_for_nothing_or_less_than_a_fen(self, bought: Bought) -> None:
        with pytest.raises(services.NothingToInvoice):
            self.issue(bought)
        use(bought, 1)
        with pytest.raises(services.NothingToInvoice):
            self.issue(bought)

    def test_a_number_taken_in_a_lost_transaction_is_taken_again(self, bought: Bought) -> None:
        use(bought, *[700] * 60)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            self.issue(bought)
            raise ZeroDivisionError

        assert self.issue(bought).number == 1
        assert selectors.verify() == []

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE billing_invoice SET total_fen = total_fen + 1, net_fen = net_fen + 1",
            "UPDATE billing_invoice SET figures = '{}'",
            "DELETE FROM billing_invoice",
            "UPDATE billing_invoiceline SET digest = 'x'",
            "DELETE FROM billing_invoiceline",
            "UPDATE billing_invoicefile SET content = ''",
            "UPDATE billing_ratedline SET invoice_line_id = NULL",
            "UPDATE billing_ratedline SET micro_st = micro_st * 2, exact = exact * 2",
            "DELETE FROM billing_topup",
        ],
    )
    def test_the_database_refuses_to_change_what_was_issued(self, bought: Bought, statement: str) -> None:
        use(bought, *[700] * 60)
        invoice = self.issue(bought)
        services.invoice_file(invoice.id, kind="csv", language="en", actor=bought.buyer, now=LATER)
        connection.check_constraints()

        with pytest.raises(IntegrityError, match=r"never chang|is invoiced|issued"), transaction.atomic():
            connection.cursor().execute(statement)

    def test_page_files_and_api_say_the_same(self, bought: Bought) -> None:
        use(bought, *[700] * 60)
        invoice = self.issue(bought)
        key = accounts.keys.create(actor=bought.buyer, name="t", scopes=["billing:read"], now=NOW).secret
        client = Client(headers={"authorization": f"Bearer {key}"})
        public = ids.encode("inv", invoice.id)

        detail = client.get(f"/api/v1/invoices/{public}").json()
        pdf = client.get(f"/api/v1/invoices/{public}/pdf?lang=en")
        rows = list(
            csv.DictReader(io.StringIO(client.get(f"/api/v1/invoices/{public}/csv").content.decode("utf-8-sig")))
        )

        printed = "".join("".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf.content)).pages)
        (line,) = detail["figures"]["lines"]
        assert rows[0]["quantity_million_st"] == line["quantity_million_st"]
        assert rows[0]["amount"] == line["amount"] == detail["total"]
        assert line["quantity_million_st"] in printed and detail["total"] in printed
        assert client.get(f"/api/v1/invoices/{public}/pdf?lang=en").content == pdf.content

    def test_of_another_organisation_does_not_exist(self, bought: Bought) -> None:
        use(bought, *[700] * 60)
        public = ids.encode("inv", self.issue(bought).id)
        key = accounts.keys.create(actor=bought.stranger, name="t", scopes=["billing:read"], now=NOW).secret
        client = Client(headers={"authorization": f"Bearer {key}"})

        for path in ("", "/pdf", "/csv"):
            assert client.get(f"/api/v1/invoices/{public}{path}").json()["code"] == "not_found"
        assert client.get("/api/v1/invoices").json()["data"] == []


class TestClosing:
    def test_a_day_becomes_payable_fee_and_tax_and_late_usage_a_second_part(self, bought: Bought) -> None:
        use(bought, *[700] * 60)
        assert services.close_days(now=HOUR + timedelta(hours=20)) == 0

        assert services.close_days(now=LATER) == 1
        use(bought, *[600] * 20, name="late", at=timedelta(minutes=1))
        assert services.close_days(now=LATER) == 1

        closes = list(DayClose.objects.order_by("part"))
        assert [close.part for close in closes] == [1, 2]
        for close in closes:
            assert close.gross_micros == close.payable_micros + close.fee_micros + close.tax_micros
            net = close.gross_micros - close.tax_micros
            assert abs(net * 106 - close.gross_micros * 100) <= 106
            assert abs(close.fee_micros * 10_000 - net * 500) <= 5_000
        held = ledger_services.open_account(organisation_id=bought.provider.organisation_id, kind="payable_held")
        assert ledger.balance(held).posted_micros == sum(close.payable_micros for close in closes)
        assert selectors.verify() == [] and ledger.verify() == []


class TestTopUps:
    def record(self, bought: Bought, yuan: int = 5, **change: object) -> object:
        return services.topups.record(
            organisation_id=bought.buyer.organisation_id, amount_micros=yuan * 10**6, reference="BANK-1", now=NOW,
            actor=change.get("actor", bought.operator),
        )  # fmt: skip

    def test_the_same_bank_reference_is_credited_once(self, bought: Bought) -> None:
        before = ledger.wallet(bought.buyer.organisation_id).posted_micros

        assert self.record(bought) == self.record(bought)

        assert ledger.wallet(bought.buyer.organisation_id).posted_micros == before + 5 * 10**6

    def test_other_content_and_other_people_are_refused(self, bought: Bought) -> None:
        self.record(bought)

        with pytest.raises(services.topups.TopUpDiffers):
            self.record(bought, yuan=6)
        with pytest.raises(services.topups.NotStaff):
            self.record(bought, actor=bought.buyer)
        with pytest.raises(services.topups.BadAmount):
            self.record(bought, yuan=-1)


class TestVerify:
    @pytest.mark.parametrize(
        ("statement", "rule"),
        [
            ("UPDATE billing_allocationposting SET posted_micros = posted_micros + 1", "posted = floor of exact"),
            (
                "UPDATE billing_ratedline SET live = false, invoice_line_id = NULL",
                "settled bucket = its live rated lines",
            ),
            (
                "UPDATE billing_invoice SET total_fen = total_fen + 1, net_fen = net_fen + 1",
                "invoice = sum of its lines",
            ),
            ("UPDATE billing_invoiceline SET exact = exact + 1", "invoice line = sum of its rated lines"),
            ("UPDATE billing_numberseries SET last = 5", "invoice numbers contiguous"),
        ],
    )
    def test_names_a_row_that_was_tampered_with(self, bought: Bought, statement: str, rule: str) -> None:
        use(bought, *[700] * 60)
        services.invoice_to_date(actor=bought.buyer, now=LATER)
        assert selectors.verify() == []
        connection.check_constraints()
        with connection.cursor() as cursor:
            for table in ("invoice", "invoiceline", "ratedline", "allocationposting"):
                cursor.execute(f"ALTER TABLE billing_{table} DISABLE TRIGGER USER")
            cursor.execute(statement)

        assert rule in {breach.rule for breach in selectors.verify()}
