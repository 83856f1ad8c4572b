"""All files of one invoice say the same, and only to those who may read it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from decimal import Decimal

import openpyxl
import pytest
from pypdf import PdfReader

from accounts.kernel import ids
from billing import services
from billing.models import Invoice
from tests.billing.documents.test_xlsx import shown
from tests.billing.scene import LATER, issue, keyed, signed_in, use
from tests.metering_ingest.scene import Bought

KINDS = ("pdf", "csv", "xlsx", "json")
NAMES = ("amount", "net", "tax", "quantity_million_st", "exact_amount", "delivery_date")


@pytest.fixture
def invoice(bought: Bought) -> Invoice:
    use(bought, 9_000, 1_000, times=7)
    use(bought, 7_000, 900, times=3, allocation=1, name="second")
    return issue(bought)


class TestFiles:
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_of_every_kind_and_the_api_are_equal_digit_by_digit(
        self, bought: Bought, invoice: Invoice, language: str
    ) -> None:
        api, path = keyed(bought.buyer), f"/api/v1/invoices/{ids.encode('inv', invoice.id)}"
        detail = api.get(path).json()
        got = {kind: api.get(f"{path}/{kind}?lang={language}") for kind in KINDS}
        assert {answer.status_code for answer in got.values()} == {200}
        table = list(csv.DictReader(io.StringIO(got["csv"].content.decode("utf-8-sig"))))
        head, *cells = openpyxl.load_workbook(io.BytesIO(got["xlsx"].content))["Lines"].iter_rows()
        sheet = [{str(n.value): shown(c) for n, c in zip(head, row, strict=True)} for row in cells]
        body = json.loads(got["json"].content)
        pdf = "".join("".join(p.extract_text().split()) for p in PdfReader(io.BytesIO(got["pdf"].content)).pages)

        assert sheet == table
        assert body["figures"] == detail["figures"] and body["verification"] == detail["verification"]
        for row, line in zip(table, detail["figures"]["lines"], strict=False):
            assert [row[name] for name in NAMES] == [line[name] for name in NAMES]
            assert line["amount"] in pdf.replace(",", "") and line["price_per_st"] in pdf
        assert (table[-1]["amount"], table[-1]["net"], table[-1]["tax"]) == (
            detail["total"], detail["net"], detail["tax"],
        )  # fmt: skip
        assert Decimal(detail["total"]) * 100 == invoice.total_fen
        for kind, answer in got.items():
            assert answer["X-Content-SHA256"] == hashlib.sha256(answer.content).hexdigest()
            assert answer["Content-Disposition"].endswith(f'.{kind}"')

    def test_are_the_same_bytes_on_page_and_in_the_api(self, bought: Bought, invoice: Invoice) -> None:
        public, api, pages = ids.encode("inv", invoice.id), keyed(bought.buyer), signed_in(bought.buyer)

        for kind in KINDS:
            first = api.get(f"/api/v1/invoices/{public}/{kind}?lang=en").content
            assert first == pages.get(f"/billing/invoices/{public}/{kind}?lang=en").content

    @pytest.mark.parametrize("kind", KINDS)
    def test_are_nobody_elses(self, bought: Bought, invoice: Invoice, kind: str) -> None:
        public = ids.encode("inv", invoice.id)
        path = f"/invoices/{public}/{kind}"

        for other in (bought.stranger, bought.provider, bought.operator):
            assert keyed(other).get(f"/api/v1{path}").status_code == 404
        assert keyed(bought.buyer, "usage:read").get(f"/api/v1{path}").status_code == 403
        assert signed_in(bought.stranger).get(f"/billing{path}").status_code == 404


class TestArchive:
    def test_holds_all_files_with_their_hashes(self, bought: Bought, invoice: Invoice) -> None:
        public = ids.encode("inv", invoice.id)

        answer = keyed(bought.buyer).get("/api/v1/invoice-archive", {"id": [public]})

        opened = zipfile.ZipFile(io.BytesIO(answer.content))
        number = invoice.figures["number"]
        assert opened.namelist()[:5] == [
            f"{number}/{number}{end}" for end in ("-zh.pdf", "-en.pdf", ".csv", ".xlsx", ".json")
        ]
        for line in opened.read("SHA256SUMS").decode().splitlines():
            sha256, path = line.split("  ")
            assert hashlib.sha256(opened.read(path)).hexdigest() == sha256
        assert (answer["Content-Type"], opened.testzip()) == ("application/zip", None)
        again = signed_in(bought.buyer).get("/billing/invoice-archive/", {"id": [public]})
        assert again.content == answer.content

    def test_of_a_foreign_invoice_is_404_whatever_else_is_named(self, bought: Bought, invoice: Invoice) -> None:
        public, other = ids.encode("inv", invoice.id), ids.encode("inv", ids.new())

        assert keyed(bought.stranger).get("/api/v1/invoice-archive", {"id": [public]}).status_code == 404
        assert keyed(bought.buyer).get("/api/v1/invoice-archive", {"id": [public, other]}).status_code == 404
        assert keyed(bought.buyer).get("/api/v1/invoice-archive", {"id": ["x"]}).status_code == 404
        assert signed_in(bought.stranger).get("/billing/invoice-archive/", {"id": [public]}).status_code == 404

    def test_of_none_or_too_many_is_refused_with_a_sentence(self, bought: Bought, invoice: Invoice) -> None:
        api = keyed(bought.buyer)
        many = [ids.encode("inv", one) for one in ids.many(51)]

        for chosen in ([], many):
            answer = api.get("/api/v1/invoice-archive", {"id": chosen})
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_selection")
        page = signed_in(bought.buyer).get("/billing/invoice-archive/", follow=True)
        assert "Tick 1 to 50 invoices" in page.content.decode()

    def test_has_numbers_in_order_and_the_service_refuses_who_may_not_read(
        self, bought: Bought, invoice: Invoice
    ) -> None:
        with pytest.raises(Exception, match="no such invoice"):
            services.invoices_zip([invoice.id], actor=bought.stranger, now=LATER)
