"""Exports: asked for once, made in steps that survive a kill, the same bytes however often, and nobody else's."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.kernel import ids
from billing import selectors
from billing.models import Export, Invoice
from billing.services import exports
from tests.billing.documents.test_xlsx import shown
from tests.billing.scene import LATER, issue, keyed, signed_in, tamper, use
from tests.metering_ingest.scene import Bought

NAMES = {"first_date": None, "last_date": None}


@pytest.fixture
def invoices(bought: Bought) -> list[Invoice]:
    found = []
    for n in range(3):
        use(bought, 9_000, 1_000, times=3, name=f"b{n}", at=timedelta(minutes=n))
        found.append(issue(bought))
    return found


def ask(bought: Bought, kind: str = "lines", written: str = "csv", **days: Any) -> Export:
    made = exports.request(kind=kind, format=written, **(NAMES | days), actor=bought.buyer, now=LATER)
    return Export.objects.get(id=made)


def work(limit: int = 100) -> int:
    return exports.work(now=lambda: LATER, limit=limit)


class TestExports:
    def test_hold_the_lines_of_all_invoices_in_each_format(self, bought: Bought, invoices: list[Invoice]) -> None:
        import openpyxl

        made = {written: ask(bought, "lines", written) for written in ("csv", "xlsx", "zip")}
        made["files"] = ask(bought, "files", "zip")
        work()

        content = {}
        for name, one in made.items():
            document = exports.file(one.id, actor=bought.buyer, now=LATER)
            assert document.sha256 == hashlib.sha256(document.content).hexdigest()
            content[name] = document.content
        table = list(csv.DictReader(io.StringIO(content["csv"].decode("utf-8-sig"))))
        head, *cells = openpyxl.load_workbook(io.BytesIO(content["xlsx"]))["Lines"].iter_rows()
        assert [{str(n.value): shown(c) for n, c in zip(head, row, strict=True)} for row in cells] == table
        assert [row["invoice"] for row in table] == [one.figures["number"] for one in invoices]
        assert [row["amount"] for row in table] == [one.figures["lines"][0]["amount"] for one in invoices]
        both = zipfile.ZipFile(io.BytesIO(content["zip"]))
        assert both.read("lines.csv") == content["csv"] and both.read("lines.xlsx") == content["xlsx"]
        assert len(zipfile.ZipFile(io.BytesIO(content["files"])).namelist()) == 3 * 5 + 2
        row = Export.objects.get(id=made["csv"].id)
        assert (row.state, row.rows, row.done, row.invoices) == ("ready", 3, 3, 3)
        assert selectors.verify() == []

        tamper("UPDATE billing_export SET content = 'other'")
        assert {breach.rule for breach in selectors.verify()} == {"a stored file has its SHA-256"}

    def test_go_on_where_they_were_interrupted_and_are_the_same_bytes(
        self, bought: Bought, invoices: list[Invoice], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exports, "BATCH", 1)
        whole = ask(bought)
        work()
        cut = ask(bought)
        done = []
        for _ in range(4):
            work(limit=1)
            done.append(Export.objects.get(id=cut.id).done)
        issued_later = Export.objects.get(id=cut.id)

        assert done == [1, 2, 3, 3] and issued_later.state == "ready"
        assert issued_later.sha256 == Export.objects.get(id=whole.id).sha256

    def test_leave_out_what_is_issued_after_they_were_asked_for(self, bought: Bought, invoices: list[Invoice]) -> None:
        asked = ask(bought)
        use(bought, 9_000, 1_000, times=1, name="more", at=timedelta(minutes=9))
        use(bought, 9_000, 1_000, times=4, allocation=1, name="more2", at=timedelta(minutes=9))
        issue(bought)
        work()

        assert Export.objects.get(id=asked.id).rows == 3

    def test_that_fail_say_so_and_can_be_made_again(
        self, bought: Bought, invoices: list[Invoice], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = ask(bought)
        with monkeypatch.context() as broken:
            broken.setattr(exports, "_finish", lambda *_: 1 / 0)
            work()
        assert Export.objects.get(id=asked.id).state == "failed"

        exports.retry(asked.id, actor=bought.buyer, now=LATER)
        work()

        assert Export.objects.get(id=asked.id).state == "ready"

    def test_are_gone_after_seven_days(self, bought: Bought, invoices: list[Invoice]) -> None:
        asked = ask(bought)
        work()
        assert exports.expire(now=LATER + timedelta(days=7)) == 1

        with pytest.raises(exports.NotReady):
            exports.file(asked.id, actor=bought.buyer, now=LATER)

    def test_of_nothing_or_of_no_such_kind_are_refused(self, bought: Bought, invoices: list[Invoice]) -> None:
        late = LATER.date() + timedelta(days=99)
        for wrong in ({"kind": "x"}, {"written": "pdf"}, {"kind": "files", "written": "csv"},
                      {"first_date": late}, {"first_date": late, "last_date": LATER.date()}):  # fmt: skip
            with pytest.raises(exports.BadExport):
                ask(bought, **wrong)
        assert not Export.objects.exists()

    def test_are_no_more_than_five_at_a_time(self, bought: Bought, invoices: list[Invoice]) -> None:
        for _ in range(5):
            ask(bought)
        with pytest.raises(exports.TooManyExports):
            ask(bought)

    def test_ready_without_a_file_is_refused_by_the_database(self, bought: Bought, invoices: list[Invoice]) -> None:
        asked = ask(bought)
        with pytest.raises(IntegrityError, match="export_ready"), transaction.atomic():
            Export.objects.filter(id=asked.id).update(state="ready")


class TestPagesAndRest:
    def test_ask_show_progress_and_download(
        self, bought: Bought, invoices: list[Invoice], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("accounts.selectors.clock.now", lambda: LATER)
        api, pages = keyed(bought.buyer), signed_in(bought.buyer)
        body = {"kind": "lines", "format": "csv"}
        first, again = (
            api.post("/api/v1/exports", body, "application/json", headers={"idempotency-key": "one"}) for _ in range(2)
        )
        assert (first.status_code, first.json()) == (202, again.json())
        pages.post("/billing/exports/", {"what": "lines.csv"})
        assert Export.objects.count() == 2
        shown_page = pages.get("/billing/exports/").content.decode()
        assert "0 of 3 invoices" in shown_page and "API key" in shown_page
        path = f"/api/v1/exports/{first.json()['id']}"
        assert api.get(f"{path}/file").json()["code"] == "export_not_ready"

        work()

        detail = api.get(path).json()
        file = api.get(f"{path}/file")
        assert (detail["state"], detail["sha256"]) == ("ready", file["X-Content-SHA256"])
        assert pages.get(f"/billing/exports/{first.json()['id']}/file").content == file.content
        fragment = pages.get("/billing/exports/", headers={"hx-request": "true"}).content.decode()
        assert detail["sha256"][:16] in fragment and "hx-trigger" not in fragment

    def test_are_nobody_elses(self, bought: Bought, invoices: list[Invoice]) -> None:
        public = ids.encode("exp", ask(bought).id)
        work()

        for other in (bought.stranger, bought.provider, bought.operator):
            assert keyed(other).get(f"/api/v1/exports/{public}").status_code == 404
            assert keyed(other).get(f"/api/v1/exports/{public}/file").status_code == 404
            assert keyed(other).get("/api/v1/exports").json()["data"] == []
        pages = signed_in(bought.stranger)
        assert pages.get(f"/billing/exports/{public}/file").status_code == 404
        assert pages.post(f"/billing/exports/{public}/retry/").status_code == 404
        assert keyed(bought.buyer, "usage:read").get("/api/v1/exports").status_code == 403
        refused = signed_in(bought.buyer).post("/billing/exports/", {"what": "lines.csv", "first_date": "2099-01-01"})
        assert refused.status_code == 422 and "No invoice is in this selection" in refused.content.decode()
