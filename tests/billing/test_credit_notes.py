"""Money given back: two persons, the cumulative rule, a note that never changes, and the books in balance."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import openpyxl
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from pypdf import PdfReader

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.models import User
from accounts.services import members
from billing import selectors
from billing.models import CreditNote, CreditNoteLine, CreditProposal, Invoice
from billing.selectors import credit_notes as rows
from billing.selectors import document_checks
from billing.services import credit_notes
from ledger import selectors as ledger
from ledger import services as accounts
from tests.billing.documents.test_xlsx import shown
from tests.billing.scene import LATER, drain, issue, keyed, signed_in, tamper, use
from tests.metering_ingest.scene import HOUR, Bought

TABLES = tuple(
    f"billing_{name}" for name in ("creditnote", "creditnoteline", "creditnotefile", "creditproposal", "invoicefile")
)


@pytest.fixture
def invoice(bought: Bought) -> Invoice:
    use(bought, 9_000, 1_000, times=7)
    use(bought, 7_000, 900, times=3, allocation=1, name="second")
    return issue(bought)


@pytest.fixture
def staff(bought: Bought) -> tuple[Actor, Actor]:
    """Two persons of the operator's staff."""
    first, second = (
        members.add(
            organisation_id=bought.operator.organisation_id, email=f"{name}@staff.example", role="owner", now=LATER,
            is_staff=True,
        )
        for name in ("one", "two")
    )  # fmt: skip
    return replace(bought.operator, user_id=first), replace(bought.operator, user_id=second)


def give_back(staff: tuple[Actor, Actor], invoice: Invoice, fen: int | None, reason: str = "Wrong price") -> CreditNote:
    amounts = None if fen is None else {1: fen}
    proposal = credit_notes.propose(invoice.id, amounts_fen=amounts, reason=reason, actor=staff[0], now=LATER)
    return CreditNote.objects.get(id=credit_notes.confirm(proposal, actor=staff[1], now=LATER))


def platform(kind: str) -> int:
    return ledger.balance(accounts.open_account(organisation_id=None, kind=kind)).posted_micros


class TestMoney:
    def test_goes_to_the_wallet_out_of_fees_and_tax(
        self, bought: Bought, invoice: Invoice, staff: tuple[Actor, Actor]
    ) -> None:
        wallet, fee, tax = ledger.wallet(bought.buyer.organisation_id), platform("fee_revenue"), platform("tax_payable")

        note = give_back(staff, invoice, None)

        assert note.total_fen == invoice.total_fen and note.receivable_micros == 0
        after = ledger.wallet(bought.buyer.organisation_id)
        assert after.available_micros - wallet.available_micros == note.wallet_micros == invoice.total_fen * 10_000
        assert fee - platform("fee_revenue") == note.net_fen * 10_000
        assert tax - platform("tax_payable") == note.tax_fen * 10_000
        assert selectors.verify() == [] and ledger.verify() == []

    def test_goes_first_against_what_is_still_owed_for_the_invoice(
        self, bought: Bought, staff: tuple[Actor, Actor]
    ) -> None:
        accounts.expire_holds(now=HOUR + timedelta(hours=2), limit=100)
        drain(bought.buyer, ledger.wallet(bought.buyer.organisation_id).available_micros - 5_000)
        use(bought, 9_000, 1_000, times=9)
        invoice = issue(bought)
        receivable = accounts.open_account(organisation_id=bought.buyer.organisation_id, kind="receivable")
        owed = ledger.balance(receivable).posted_micros
        assert owed > 0 and invoice.due_fen > 0

        note = give_back(staff, invoice, None)

        assert 0 < note.receivable_micros <= owed
        assert Invoice.objects.get(id=invoice.id).state == "paid"
        assert note.receivable_micros + note.wallet_micros == note.total_fen * 10_000
        assert ledger.balance(receivable).posted_micros == owed - note.receivable_micros
        assert selectors.verify() == [] and ledger.verify() == []

    def test_of_notes_adds_up_to_the_invoice_and_no_further(self, invoice: Invoice, staff: tuple[Actor, Actor]) -> None:
        total = selectors.lines_of(invoice)[0].amount_fen
        pieces = [1, total // 3, total - 1 - total // 3]

        notes = [give_back(staff, invoice, piece) for piece in pieces]

        assert [note.number for note in notes] == [1, 2, 3]
        assert sum(note.net_fen for note in notes) == selectors.lines_of(invoice)[0].net_fen
        assert sum(note.tax_fen for note in notes) == selectors.lines_of(invoice)[0].tax_fen
        assert notes[-1].figures["left"] == f"{Decimal(invoice.total_fen - total) / 100:.2f}"
        with pytest.raises(credit_notes.CreditBeyondInvoice):
            give_back(staff, invoice, 1)
        assert selectors.verify() == []

    def test_is_not_given_back_twice_where_a_dispute_gave_it(
        self, bought: Bought, invoice: Invoice, staff: tuple[Actor, Actor]
    ) -> None:
        whole = rows.creditable(invoice)[0].left_fen
        tamper(
            "INSERT INTO billing_contestedamount (dispute_id, allocation_id, buyer_id, seller_id, delivery_date, currency, "
            "micro_st, unbilled_micros, payable_micros, fee_micros, tax_micros, held_micros, credited_micros, paid_micros, "
            "frozen_at, settled_at) SELECT gen_random_uuid(), a.id, a.buyer_id, a.seller_id, now(), 'CNY', 1, 10001, 0, 0, "
            f"0, 0, 10001, 0, now(), now() FROM market_allocation a WHERE a.id = '{bought.allocations[0].id}'"
        )

        assert rows.creditable(invoice)[0].left_fen == whole - 2
        with pytest.raises(credit_notes.CreditBeyondInvoice):
            give_back(staff, invoice, whole)


class TestTwoPersons:
    def test_who_proposed_may_not_confirm(self, invoice: Invoice, staff: tuple[Actor, Actor]) -> None:
        proposal = credit_notes.propose(invoice.id, amounts_fen={1: 1}, reason="r", actor=staff[0], now=LATER)

        with pytest.raises(credit_notes.SecondPersonNeeded):
            credit_notes.confirm(proposal, actor=staff[0], now=LATER)
        assert not CreditNote.objects.exists()

    def test_confirming_twice_gives_the_same_note(self, invoice: Invoice, staff: tuple[Actor, Actor]) -> None:
        proposal = credit_notes.propose(invoice.id, amounts_fen={1: 1}, reason="r", actor=staff[0], now=LATER)

        assert len({credit_notes.confirm(proposal, actor=staff[1], now=LATER) for _ in range(3)}) == 1
        assert CreditNote.objects.count() == 1

    def test_a_rejected_proposal_gives_nothing_back(self, invoice: Invoice, staff: tuple[Actor, Actor]) -> None:
        proposal = credit_notes.propose(invoice.id, amounts_fen={1: 1}, reason="r", actor=staff[0], now=LATER)
        credit_notes.reject(proposal, actor=staff[0], now=LATER)

        with pytest.raises(credit_notes.AlreadyDecided):
            credit_notes.confirm(proposal, actor=staff[1], now=LATER)
        with pytest.raises(credit_notes.AlreadyDecided):
            credit_notes.reject(proposal, actor=staff[1], now=LATER)

    def test_two_proposals_for_all_of_it_give_it_back_once(self, invoice: Invoice, staff: tuple[Actor, Actor]) -> None:
        proposals = [
            credit_notes.propose(invoice.id, amounts_fen=None, reason="r", actor=staff[0], now=LATER) for _ in range(2)
        ]
        credit_notes.confirm(proposals[0], actor=staff[1], now=LATER)

        with pytest.raises(credit_notes.CreditBeyondInvoice):
            credit_notes.confirm(proposals[1], actor=staff[1], now=LATER)
        assert CreditNote.objects.count() == 1

    def test_only_signed_in_staff_may(self, bought: Bought, invoice: Invoice, staff: tuple[Actor, Actor]) -> None:
        proposal = credit_notes.propose(invoice.id, amounts_fen={1: 1}, reason="r", actor=staff[0], now=LATER)
        by_key = replace(staff[1], user_id=None)

        for other in (bought.buyer, replace(bought.buyer, user_id=uuid4(), is_staff=True), by_key):
            with pytest.raises(credit_notes.NotStaffMember):
                credit_notes.propose(invoice.id, amounts_fen=None, reason="r", actor=other, now=LATER)
            with pytest.raises(credit_notes.NotStaffMember):
                credit_notes.confirm(proposal, actor=other, now=LATER)
            with pytest.raises(credit_notes.NotStaffMember):
                credit_notes.reject(proposal, actor=other, now=LATER)

    @pytest.mark.parametrize(
        ("amounts", "reason", "code"),
        [
            ({1: 0}, "r", "bad_credit"),
            ({1: -5}, "r", "bad_credit"),
            ({}, "r", "bad_credit"),
            ({9: 1}, "r", "bad_credit"),
            ({1: 1}, "", "bad_credit"),
            ({1: 1}, "a\nb", "bad_credit"),
            ({1: 1}, "x" * 301, "bad_credit"),
            ({1: 10**9}, "r", "credit_exceeds_invoice"),
        ],
    )
    def test_what_cannot_be_is_refused_and_nothing_is_written(
        self, invoice: Invoice, staff: tuple[Actor, Actor], amounts: dict[int, int], reason: str, code: str
    ) -> None:
        with pytest.raises(credit_notes.BillingError) as refused:
            credit_notes.propose(invoice.id, amounts_fen=amounts, reason=reason, actor=staff[0], now=LATER)

        assert refused.value.code == code
        assert not CreditProposal.objects.exists()


class TestDatabase:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE billing_creditnote SET total_fen = total_fen + 1",
            "DELETE FROM billing_creditnote",
            "UPDATE billing_creditnoteline SET net_fen = net_fen",
            "DELETE FROM billing_creditnotefile",
            "DELETE FROM billing_creditproposal",
            "UPDATE billing_creditproposal SET reason = 'other'",
            "UPDATE billing_creditproposal SET state = 'rejected'",
            "UPDATE billing_creditproposal SET decided_by = proposed_by",
        ],
    )
    def test_refuses_to_change_what_was_given_back(
        self, invoice: Invoice, staff: tuple[Actor, Actor], statement: str
    ) -> None:
        give_back(staff, invoice, 1)

        with pytest.raises(DatabaseError), transaction.atomic():
            connection.cursor().execute(statement)

    def test_refuses_notes_beyond_the_line(self, invoice: Invoice, staff: tuple[Actor, Actor]) -> None:
        note = give_back(staff, invoice, None)
        line = CreditNoteLine.objects.get()
        line.pk, line.note = None, note
        tamper("ALTER TABLE billing_creditnoteline DROP CONSTRAINT credit_note_line_once")

        with pytest.raises(IntegrityError, match="pass invoice line"), transaction.atomic():
            line.save(force_insert=True)

    def test_refuses_one_person_in_both_places(self, invoice: Invoice, staff: tuple[Actor, Actor]) -> None:
        proposal = credit_notes.propose(invoice.id, amounts_fen={1: 1}, reason="r", actor=staff[0], now=LATER)

        with pytest.raises(IntegrityError, match="credit_two_persons"), transaction.atomic():
            CreditProposal.objects.filter(id=proposal).update(
                state="confirmed", decided_by=staff[0].user_id, decided_at=LATER
            )


class TestFiles:
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_are_equal_digit_by_digit(
        self, bought: Bought, invoice: Invoice, staff: tuple[Actor, Actor], language: str
    ) -> None:
        note = give_back(staff, invoice, 3, reason="=Wrong price 价格有误")
        api, path = keyed(bought.buyer), f"/api/v1/credit-notes/{ids.encode('crn', note.id)}"
        detail = api.get(path).json()
        got = {kind: api.get(f"{path}/{kind}?lang={language}") for kind in ("pdf", "csv", "xlsx", "json")}
        assert {answer.status_code for answer in got.values()} == {200}
        table = list(csv.DictReader(io.StringIO(got["csv"].content.decode("utf-8-sig"))))
        head, *cells = openpyxl.load_workbook(io.BytesIO(got["xlsx"].content)).active.iter_rows()
        sheet = [{str(n.value): shown(c) for n, c in zip(head, row, strict=True)} for row in cells]
        pdf = "".join("".join(p.extract_text().split()) for p in PdfReader(io.BytesIO(got["pdf"].content)).pages)

        assert sheet == table
        assert json.loads(got["json"].content)["figures"] == detail["figures"] == note.figures
        assert table[0]["reason"] == "'=Wrong price 价格有误"
        assert (table[-1]["amount"], table[-1]["net"], table[-1]["tax"]) == (
            detail["total"],
            detail["net"],
            detail["tax"],
        )
        for text in ("CN-000001", invoice.figures["number"], detail["total"], detail["figures"]["left"]):
            assert text in pdf.replace(",", "")
        assert detail["figures"]["total_words_zh" if language == "zh" else "total_words_en"].replace(" ", "") in pdf
        pages = signed_in(bought.buyer)
        assert (
            pages.get(f"/billing/credit-notes/{ids.encode('crn', note.id)}/pdf?lang={language}").content
            == got["pdf"].content
        )

    def test_are_nobody_elses(self, bought: Bought, invoice: Invoice, staff: tuple[Actor, Actor]) -> None:
        public = ids.encode("crn", give_back(staff, invoice, 3).id)

        for other in (bought.stranger, bought.provider):
            for tail in ("", "/pdf", "/csv", "/xlsx", "/json"):
                assert keyed(other).get(f"/api/v1/credit-notes/{public}{tail}").status_code == 404
            assert keyed(other).get("/api/v1/credit-notes").json()["data"] == []
            assert signed_in(other).get(f"/billing/credit-notes/{public}/").status_code == 404
        assert keyed(bought.buyer, "usage:read").get(f"/api/v1/credit-notes/{public}").status_code == 403


TAMPERED = [
    ("UPDATE billing_creditnoteline SET amount_fen = amount_fen + 100000, net_fen = net_fen + 100000",
     "credit notes <= their invoice line, by the cumulative rule"),
    ("UPDATE billing_creditnoteline SET net_fen = net_fen - 1, tax_fen = tax_fen + 1",
     "credit notes <= their invoice line, by the cumulative rule"),
    ("UPDATE billing_creditnoteline SET net_fen = net_fen - 1, tax_fen = tax_fen + 1", "credit note = sum of its lines"),
    ("DELETE FROM billing_creditnoteline", "credit note = sum of its lines"),
    ("UPDATE billing_creditnote SET figures = jsonb_set(figures, '{total_fen}', '1')", "credit note = sum of its lines"),
    ("UPDATE billing_creditnote SET number = 7", "credit note numbers contiguous"),
    ("UPDATE billing_numberseries SET last = last + 1 WHERE series = 'CN'", "credit note numbers contiguous"),
    ("UPDATE billing_creditnote SET wallet_micros = wallet_micros - 1, receivable_micros = receivable_micros + 1",
     "a credit note gave back what the ledger says"),
    ("DELETE FROM billing_creditnotefile; DELETE FROM billing_creditnoteline; DELETE FROM billing_creditnote",
     "a credit note gave back what the ledger says"),
    ("UPDATE billing_creditproposal SET state = 'rejected'", "a credit note has two persons"),
    ("UPDATE billing_creditnotefile SET content = 'other'", "a stored file has its SHA-256"),
]  # fmt: skip


class TestVerify:
    def test_every_rule_has_its_tampering(self) -> None:
        assert {rule for _, rule in TAMPERED} == set(document_checks.RULES)

    @pytest.mark.parametrize(("statement", "rule"), TAMPERED)
    def test_finds_what_was_tampered_with(
        self, bought: Bought, invoice: Invoice, staff: tuple[Actor, Actor], statement: str, rule: str
    ) -> None:
        note = give_back(staff, invoice, 4)
        credit_notes.note_file(note.id, kind="csv", language="en", actor=bought.buyer, now=LATER)
        assert selectors.verify() == []

        tamper(statement, *TABLES)

        assert rule in {breach.rule for breach in selectors.verify()}


class TestStaff:
    """Two signed-in members of the operator's staff, in the browser and over REST."""

    @pytest.fixture
    def two(self, bought: Bought) -> tuple[Client, Client]:
        clients = []
        for name in ("first", "second"):
            user_id = members.add(
                organisation_id=bought.operator.organisation_id, email=f"{name}@operator.example", role="owner",
                now=LATER, is_staff=True,
            )  # fmt: skip
            client = Client(headers={"accept-language": "en"})
            client.force_login(User.objects.get(id=user_id))
            clients.append(client)
        return clients[0], clients[1]

    def test_propose_and_confirm_by_page(self, bought: Bought, invoice: Invoice, two: tuple[Client, Client]) -> None:
        first, second = two
        number = invoice.figures["number"]
        draft = {"invoice": number, "line": "1", "amount": "0.05", "reason": "Agreed by phone"}

        assert first.post("/staff/credit-notes/", draft).status_code == 302
        public = ids.encode("crp", CreditProposal.objects.get().id)
        assert "waits for a second person" in first.get("/staff/credit-notes/").content.decode()
        answer = first.post(f"/staff/credit-notes/{public}/confirm/", follow=True)
        assert "Another member of staff has to confirm" in answer.content.decode()
        second.post(f"/staff/credit-notes/{public}/confirm/")

        note = CreditNote.objects.get()
        assert (note.total_fen, note.invoice_id) == (5, invoice.id)
        buyer = signed_in(bought.buyer)
        assert "CN-000001" in buyer.get(f"/billing/invoices/{ids.encode('inv', invoice.id)}/").content.decode()
        page = buyer.get(f"/billing/credit-notes/{ids.encode('crn', note.id)}/").content.decode()
        assert "Agreed by phone" in page and note.figures["total"] in page
        assert "Credit note" in buyer.get("/billing/balance/").content.decode()

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"amount": "99999.00"}, "more than is left of the line"),
            ({"amount": ""}, "Give a line and its amount, or neither."),
            ({"amount": "0.001"}, "at most two decimals"),
            ({"invoice": "TS-999999"}, "no invoice of this number"),
            ({"invoice": "=x"}, "no invoice of this number"),
            ({"line": "9"}, "Name a line that the invoice has"),
        ],
    )
    def test_get_a_sentence_for_what_cannot_be(
        self, invoice: Invoice, two: tuple[Client, Client], change: dict[str, str], sentence: str
    ) -> None:
        draft = {"invoice": invoice.figures["number"], "line": "1", "amount": "0.05", "reason": "r"}

        answer = two[0].post("/staff/credit-notes/", draft | change)

        assert answer.status_code == 422 and sentence in answer.content.decode()
        assert not CreditProposal.objects.exists()

    def test_propose_and_confirm_by_rest_once(self, invoice: Invoice, two: tuple[Client, Client]) -> None:
        body = {"invoice": ids.encode("inv", invoice.id), "reason": "r", "lines": [{"line": 1, "amount": "0.05"}]}
        key = {"idempotency-key": "one"}

        made = [two[0].post("/api/v1/credit-proposals", body, "application/json", headers=key) for _ in range(2)]

        assert [one.status_code for one in made] == [201, 201] and made[0].json() == made[1].json()
        path = f"/api/v1/credit-proposals/{made[0].json()['id']}"
        refused = two[0].post(f"{path}/confirm")
        assert (refused.status_code, refused.json()["code"]) == (403, "second_person_needed")
        done = two[1].post(f"{path}/confirm").json()
        assert (done["state"], done["amounts"]) == ("confirmed", {"1": "0.05"}) and done["note"].startswith("crn_")
        assert two[1].post(f"{path}/reject").status_code == 409
        assert CreditNote.objects.get().total_fen == 5

    def test_is_nobody_else(self, bought: Bought, invoice: Invoice, two: tuple[Client, Client]) -> None:
        body = {"invoice": ids.encode("inv", invoice.id), "reason": "r"}
        for other in (bought.buyer, bought.provider, bought.operator):
            api = keyed(other, "billing:read", "billing:write")
            headers = {"idempotency-key": str(other.organisation_id)}
            assert api.post("/api/v1/credit-proposals", body, "application/json", headers=headers).status_code == 403
            assert api.get("/api/v1/credit-proposals").status_code == 403
        pages = signed_in(bought.buyer, "owner")
        assert pages.get("/staff/credit-notes/").status_code == 403
        assert pages.post("/staff/credit-notes/", body).status_code == 403
        assert pages.post(f"/staff/credit-notes/{ids.encode('crp', ids.new())}/confirm/").status_code == 403
