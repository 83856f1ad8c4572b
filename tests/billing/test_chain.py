"""Why an amount is what it is: the chain behind a line, and its check without the platform."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tokenspot_client import cli
from tokenspot_client.line import NotAChain, check_line

from accounts.kernel import ids
from billing import selectors, services
from billing.kernel import chain as kernel
from billing.models import Invoice
from billing.services import chain
from metering_ingest import services as metering
from metering_ingest.kernel.events import Voided
from tests.billing.scene import SENT, issue, keyed, signed_in, use
from tests.metering_ingest.scene import Bought, event


@pytest.fixture
def invoice(bought: Bought) -> Invoice:
    """Two allocations at two prices; the first is drawn beyond its end, so that one bucket has two prices."""
    use(bought, 9_000, 1_000, times=7)
    use(bought, 7_000, 900, times=3, allocation=1, name="second")
    return issue(bought)


@pytest.fixture
def document(bought: Bought, invoice: Invoice) -> dict[str, Any]:
    return keyed(bought.buyer).get(f"{path(invoice)}/chain").json()


def path(invoice: Invoice, line: int = 1) -> str:
    return f"/api/v1/invoices/{ids.encode('inv', invoice.id)}/lines/{line}"


class TestChain:
    def test_holds_when_it_is_checked_without_the_platform(self, document: dict[str, Any]) -> None:
        assert check_line(document) == []
        assert sum(len(bucket["records"]) for bucket in document["buckets"]) == 10
        assert {one["round"] for one in document["allocations"]} != set()

    def test_goes_from_the_line_to_the_records_with_counts_and_hashes(
        self, document: dict[str, Any], invoice: Invoice
    ) -> None:
        (line,) = selectors.lines_of(invoice)

        assert document["line"]["digest"] == line.digest
        assert document["invoice"]["figures"] == invoice.figures
        assert {one["id"] for one in document["rated_lines"]} == {
            part["rated_line"] for bucket in document["buckets"] for part in bucket["parts"]
        }
        for bucket in document["buckets"]:
            assert int(bucket["settled"]["records"]) == len(bucket["records"])
            assert bucket["records_sha256"] == kernel.records_digest(one["sha256"] for one in bucket["records"])
        for one in document["allocations"]:
            assert one["certificate"].endswith(f"/rounds/{one['round']}/certificate.json")

    def test_holds_where_a_bucket_is_on_two_invoices_and_more_waits(self, bought: Bought, invoice: Invoice) -> None:
        use(bought, 9_000, 1_000, times=5, name="late", at=timedelta(minutes=1))
        second = issue(bought)

        for one in (invoice, second):
            found = keyed(bought.buyer).get(f"{path(one)}/chain").json()
            assert check_line(found) == []
        assert max(len(bucket["parts"]) for bucket in found["buckets"]) >= 2

    def test_says_what_was_counted_after_the_bucket_was_settled(self, bought: Bought, invoice: Invoice) -> None:
        metering.ingest_records([event(bought.allocations[0], "after")], sender=bought.operator, now=SENT)

        found = chain.document(invoice.id, 1, actor=bought.buyer)
        assert [bucket["waiting"]["records"] for bucket in found["buckets"]].count("1") == 1
        assert check_line(found) == []

    def test_leaves_out_what_was_taken_back(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=7)
        first = bought.allocations[0]
        taken = msgspec.structs.replace(event(first, "void"), voids=Voided("gateway/test", "r-0"))
        metering.ingest_records([taken], sender=bought.operator, now=SENT)
        metering.settle(now=SENT, quiet_seconds=0)
        services.rate_settled(now=SENT)
        invoice = issue(bought)

        found = chain.document(invoice.id, 1, actor=bought.buyer)

        assert check_line(found) == []
        assert sum(len(bucket["records"]) for bucket in found["buckets"]) == 6


def numbers(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all numbers: integers, and texts that are one."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from numbers(part, (*place, key))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from numbers(part, (*place, at))
    elif type(value) is int or (isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value)):
        yield place


def tampered(document: dict[str, Any], place: tuple[Any, ...], *, resealed: bool) -> dict[str, Any]:
    """One more in the last digit at one place."""
    changed = copy.deepcopy(document)
    at = changed
    for step in place[:-1]:
        at = at[step]
    old = at[place[-1]]
    digits = str(old)
    last = "8" if digits[-1] == "9" else str(int(digits[-1]) + 1)
    at[place[-1]] = int(digits[:-1] + last) if isinstance(old, int) else digits[:-1] + last
    if resealed:
        changed["sha256"] = kernel.seal(changed)
    return changed


class TestTampering:
    def test_with_any_number_is_found(self, document: dict[str, Any]) -> None:
        places = list(numbers(document))
        assert len(places) > 150

        for place in places:
            try:
                found = check_line(tampered(document, place, resealed=False))
            except NotAChain:
                continue  # an id or card that nothing has any more
            assert found, place

    def test_is_named_even_where_the_file_is_sealed_again(self, document: dict[str, Any]) -> None:
        """Every number that the amount rests on. Round and quantity are in the round's certificate, a version is a label."""
        labels = {"round", "quantity_st", "version"}
        unseen = []
        for place in numbers(document):
            if place[0] in {"allocations", "buckets"} and place[-1] in labels:
                continue
            try:
                found = check_line(tampered(document, place, resealed=True))
            except NotAChain:
                continue
            if not found:
                unseen.append(place)
        assert unseen == []

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (("buckets", 0, "records", 0, "micro_st"), "buckets[0].records[0].micro_st"),
            (("buckets", 0, "records", 0, "prompt_tokens"), "buckets[0].records[0].micro_st"),
            (("buckets", 0, "settled", "micro_st"), "buckets[0].settled.micro_st"),
            (("rated_lines", 0, "price_micros"), "rated_lines[0].exact"),
            (("rated_lines", 0, "exact"), "line.digest"),
            (("line", "amount_fen"), "line.amount_fen"),
            (("line", "tax_fen"), "line.net_fen"),
            (("allocations", 0, "posted_micros"), "allocations[0].posted_micros"),
            (("invoice", "figures", "total_fen"), "invoice.figures.total_fen"),
            (("invoice", "figures", "lines", 0, "tax_fen"), "invoice.figures.lines[0].tax_fen"),
        ],
    )
    def test_is_named_by_its_place(self, document: dict[str, Any], change: tuple[Any, ...], named: str) -> None:
        found = check_line(tampered(document, change, resealed=True))

        assert named in {one.split(":")[0] for one in found}

    def test_by_a_record_left_out_or_twice_is_found(self, document: dict[str, Any]) -> None:
        for change in ("out", "twice"):
            changed = copy.deepcopy(document)
            records = changed["buckets"][0]["records"]
            records[:1] = [] if change == "out" else [records[0]] * 2
            changed["sha256"] = kernel.seal(changed)
            assert any("buckets[0].settled.records" in one for one in check_line(changed))

    @pytest.mark.parametrize("body", [{}, [], None, {"schema": "other"}, {"schema": kernel.SCHEMA}])
    def test_another_file_is_no_chain(self, body: Any) -> None:
        with pytest.raises(NotAChain):
            check_line(body)


class TestVerifyLine:
    def test_says_that_a_line_holds(self, document: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
        file = tmp_path / "chain.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        code = document["invoice"]["verification_code"]

        assert cli.main(["verify-line", str(file), "--code", code]) == 0
        assert "10 records" in capsys.readouterr().out
        assert cli.main(["verify-line", str(file), "--code", "0000-0000-0000-0000-0000"]) == 1
        assert "but the invoice in hand prints" in capsys.readouterr().out

    def test_names_what_is_broken_and_refuses_what_is_no_chain(
        self, document: dict[str, Any], tmp_path: Path, capsys: Any
    ) -> None:
        file = tmp_path / "chain.json"
        file.write_text(json.dumps(tampered(document, ("line", "amount_fen"), resealed=True)), encoding="utf-8")
        assert cli.main(["verify-line", str(file)]) == 1
        assert "BROKEN  line.amount_fen" in capsys.readouterr().out

        file.write_text("not json", encoding="utf-8")
        assert cli.main(["verify-line", str(file)]) == 2
        assert cli.main(["verify-line", str(tmp_path / "none")]) == 2


class TestRest:
    def test_pages_rated_lines_and_records(self, bought: Bought, invoice: Invoice, monkeypatch: Any) -> None:
        monkeypatch.setattr("billing.api.chain._RATED", 1)
        monkeypatch.setattr("billing.api.chain._RECORDS", 3)
        api, rated, cursor = keyed(bought.buyer), [], ""
        while cursor is not None:
            page = api.get(path(invoice), {"cursor": cursor}).json()
            rated += page["rated_lines"]
            cursor = page["next"]
        keys: list[str] = []
        cursor = ""
        while cursor is not None:
            page = api.get(f"{path(invoice)}/records", {"bucket": rated[0]["bucket"], "cursor": cursor}).json()
            keys += [one["key"] for one in page["data"]]
            cursor = page["next"]

        assert sum(int(one["micro_st"]) for one in rated) == int(page_line(bought, invoice)["micro_st"])
        assert len(rated) >= 2 and len(keys) == len(set(keys)) == 7

    def test_is_404_for_everybody_else(self, bought: Bought, invoice: Invoice, document: dict[str, Any]) -> None:
        bucket = document["buckets"][0]["id"]
        for other in (bought.stranger, bought.provider, bought.operator):
            api = keyed(other)
            for tail in ("", f"/records?bucket={bucket}", "/chain"):
                assert api.get(path(invoice) + tail).status_code == 404, tail
        assert keyed(bought.buyer, "usage:read").get(path(invoice)).status_code == 403

    def test_is_404_for_what_the_line_does_not_have(self, bought: Bought, invoice: Invoice) -> None:
        api = keyed(bought.buyer)

        for tail in ("/records?bucket=999999", "/records?bucket=x", "/records"):
            assert api.get(path(invoice) + tail).status_code == 404
        assert api.get(path(invoice, 2)).status_code == 404
        assert api.get(path(invoice) + "?cursor=x").status_code == 400

    def test_of_too_many_records_is_refused_with_a_way_out(
        self, bought: Bought, invoice: Invoice, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(chain, "MOST_RECORDS", 9)

        answer = keyed(bought.buyer).get(f"{path(invoice)}/chain")

        assert (answer.status_code, answer.json()["code"]) == (422, "chain_too_long")


def page_line(bought: Bought, invoice: Invoice) -> dict[str, str]:
    return keyed(bought.buyer).get(path(invoice)).json()["line"]


class TestPage:
    @pytest.mark.parametrize(("language", "word"), [("en", "Why this amount"), ("zh-hans", "为何是这个金额")])
    def test_shows_the_chain_and_leads_to_the_file(
        self, bought: Bought, invoice: Invoice, document: dict[str, Any], language: str, word: str
    ) -> None:
        pages, start = signed_in(bought.buyer, language=language), f"/billing/invoices/{ids.encode('inv', invoice.id)}/"
        assert f"{start}lines/1/" in pages.get(start).content.decode()

        shown = pages.get(f"{start}lines/1/").content.decode()

        assert word in shown
        for one in document["allocations"]:
            assert f"/rounds/{one['round']}/" in shown
        for bucket in document["buckets"]:
            records = pages.get(f"{start}lines/1/buckets/{bucket['id']}/").content.decode()
            assert f"lines/1/buckets/{bucket['id']}/" in shown
            for record in bucket["records"]:
                assert record["sha256"][:16] in records
        assert pages.get(f"{start}lines/1/chain.json").json() == document

    def test_goes_on_where_there_is_more(self, bought: Bought, invoice: Invoice, document: dict[str, Any],
                                         monkeypatch: Any) -> None:  # fmt: skip
        monkeypatch.setattr("billing.web.chain._RATED", 1)
        monkeypatch.setattr("billing.web.chain._RECORDS", 3)
        pages, start = signed_in(bought.buyer), f"/billing/invoices/{ids.encode('inv', invoice.id)}/lines/1/"
        bucket = document["buckets"][0]

        assert f"?after={document['rated_lines'][0]['id']}" in pages.get(start).content.decode()
        records = pages.get(f"{start}buckets/{bucket['id']}/").content.decode()
        assert f"?after={bucket['records'][2]['key']}" in records

    def test_is_404_for_everybody_else(self, bought: Bought, invoice: Invoice, document: dict[str, Any]) -> None:
        start = f"/billing/invoices/{ids.encode('inv', invoice.id)}/lines/1/"
        for other in (bought.stranger, bought.provider):
            pages = signed_in(other)
            for tail in ("", "chain.json", f"buckets/{document['buckets'][0]['id']}/"):
                assert pages.get(start + tail).status_code == 404
        mine = signed_in(bought.buyer)
        assert [
            mine.get(start + tail).status_code for tail in ("buckets/99999/", "?after=x", "buckets/1/?after=x")
        ] == [404] * 3
