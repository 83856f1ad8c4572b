"""Each rule of billing finds the row that breaks it, and names it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from billing import selectors, services
from billing.models import AllocationPosting, Invoice, InvoiceLine
from billing.selectors import checks
from ledger import selectors as ledger
from tests.billing.scene import LATER, issue, tamper, use
from tests.metering_ingest.scene import Bought

TABLES = tuple(f"billing_{name}" for name in ("invoice", "invoiceline", "ratedline", "dayclose", "allocationposting"))
BUCKET = "settled bucket = its live rated lines"
BOUGHT = "consumed <= bought, at the allocation's price"
POSTED = "posted = floor of exact"
TOTAL = "invoice = sum of its lines"
LINE = "invoice line = sum of its rated lines"
NUMBERS = "invoice numbers contiguous"
CHARGED = "every charge is billed once"
GIVEN = "what a seller gave back is what the ledger says, at most what it owed"
UNBILLED = "unbilled = posted - closed - contested - rounding"
SUSPENSE = "suspense = what disputes have frozen"
RETURNED = "what a dispute gave back is what the ledger says"
FROZEN = "a posting's contested parts are its disputes'"
_CONTESTED = (
    "INSERT INTO billing_contestedamount (dispute_id, allocation_id, buyer_id, seller_id, delivery_date, currency, "
    "micro_st, unbilled_micros, payable_micros, fee_micros, tax_micros, held_micros, credited_micros, paid_micros, "
    "frozen_at, settled_at) SELECT gen_random_uuid(), id, buyer_id, seller_id, now(), 'CNY', 1, 1, 0, 0, 0, 0, "
    "{credited}, {paid}, now(), {settled} FROM market_allocation LIMIT 1"
)
TAMPERED = [
    ("UPDATE billing_ratedline SET live = false, invoice_line_id = NULL", BUCKET),
    ("UPDATE billing_ratedline SET micro_st = micro_st - 1, exact = (micro_st - 1)::numeric * price_micros", BUCKET),
    ("DELETE FROM billing_ratedline", BUCKET),
    (
        "UPDATE billing_ratedline SET price_micros = price_micros - 1, exact = micro_st::numeric * (price_micros - 1)",
        BOUGHT,
    ),
    ("UPDATE billing_ratedline SET micro_st = 20000000001, exact = 20000000001 * price_micros::numeric", BOUGHT),
    ("UPDATE billing_allocationposting SET posted_micros = posted_micros + 1", POSTED),
    ("UPDATE billing_ratedline SET live = false, invoice_line_id = NULL", POSTED),
    ("UPDATE billing_invoice SET total_fen = total_fen + 1, net_fen = net_fen + 1", TOTAL),
    ("UPDATE billing_invoice SET tax_fen = tax_fen + 1, net_fen = net_fen - 1", TOTAL),
    ("UPDATE billing_invoice SET rounding_exact = rounding_exact + 1", TOTAL),
    ("UPDATE billing_invoiceline SET amount_fen = amount_fen + 1, net_fen = net_fen + 1", TOTAL),
    ("UPDATE billing_invoiceline SET exact = exact + 1", LINE),
    ("UPDATE billing_invoiceline SET micro_st = micro_st - 1", LINE),
    ("UPDATE billing_invoiceline SET amount_fen = amount_fen + 1, net_fen = net_fen + 1", LINE),
    ("UPDATE billing_ratedline SET invoice_line_id = NULL", LINE),
    ("UPDATE billing_numberseries SET last = last + 1", NUMBERS),
    ("UPDATE billing_invoice SET number = 7", NUMBERS),
    (
        "INSERT INTO market_charge (allocation_id, kind, request_id, micro_st, price_micros, exact, created_at) "
        "SELECT id, 'take_or_pay', '', 1, price_micros, price_micros, now() FROM market_allocation; "
        "UPDATE billing_ratingwatermark SET charge_id = 1000000000",
        CHARGED,
    ),
    (
        "INSERT INTO market_charge (allocation_id, kind, request_id, micro_st, price_micros, exact, created_at) "
        "SELECT id, 'shortfall', 'r', 1000000, price_micros, 1000000 * price_micros::numeric, now() FROM market_allocation; "
        "INSERT INTO billing_credit (charge_id, buyer_id, seller_id, delivery_date, currency, owed_micros, paid_micros, paid_at) "
        "SELECT c.id, a.buyer_id, a.seller_id, now(), 'CNY', 1, 1, now() "
        "FROM market_charge c JOIN market_allocation a ON a.id = c.allocation_id",
        GIVEN,
    ),
    ("UPDATE billing_allocationposting SET closed_micros = closed_micros - 1", UNBILLED),
    ("UPDATE billing_invoice SET settled_micros = settled_micros + 1", UNBILLED),
    (_CONTESTED.format(settled="NULL", credited="NULL", paid=0), SUSPENSE),
    (_CONTESTED.format(settled="NULL", credited="NULL", paid=0), FROZEN),
    (_CONTESTED.format(settled="now()", credited=1, paid=1), RETURNED),
    (
        "UPDATE billing_allocationposting SET frozen_micros = frozen_micros + 1, closed_micros = closed_micros - 1",
        FROZEN,
    ),
]


@pytest.fixture
def closed(bought: Bought) -> Bought:
    """Used, invoiced and closed; every book balances."""
    use(bought, 9_000, 1_000, times=7)
    issue(bought)
    services.close_days(now=LATER)
    assert selectors.verify() == [] and ledger.verify() == []
    return bought


class TestVerify:
    def test_every_rule_has_its_tampering(self) -> None:
        assert {rule for _, rule in TAMPERED} == set(checks._RULES)

    @pytest.mark.parametrize(("statement", "rule"), TAMPERED)
    def test_finds_what_was_tampered_with(self, closed: Bought, statement: str, rule: str) -> None:
        tamper(statement, *TABLES)

        assert rule in {breach.rule for breach in selectors.verify()}

    def test_names_the_row(self, closed: Bought) -> None:
        tamper("UPDATE billing_invoice SET total_fen = total_fen + 1, net_fen = net_fen + 1", *TABLES)

        (breach,) = [breach for breach in selectors.verify() if breach.rule == TOTAL]
        assert breach.subject == f"invoice {Invoice.objects.get().id}"

    def test_finds_a_line_smuggled_into_an_issued_invoice(self, closed: Bought) -> None:
        line = InvoiceLine.objects.get()
        line.pk, line.number = None, 2
        with pytest.raises(IntegrityError, match="do not add up"), transaction.atomic():
            line.save(force_insert=True)

        connection.check_constraints()
        connection.cursor().execute("ALTER TABLE billing_invoiceline DISABLE TRIGGER USER")
        line.save(force_insert=True)

        assert {TOTAL, LINE} <= {breach.rule for breach in selectors.verify()}

    def test_is_silent_at_every_step_of_the_thread(self, bought: Bought) -> None:
        for n in range(3):
            use(bought, 9_000, 1_000, times=3, name=f"b{n}", at=timedelta(minutes=n))
            assert selectors.verify() == []
            issue(bought)
            assert selectors.verify() == []
            services.close_days(now=LATER)
            assert selectors.verify() == [] and ledger.verify() == []
        assert all(
            row.posted_micros == row.invoiced_micros == row.closed_micros for row in AllocationPosting.objects.all()
        )
