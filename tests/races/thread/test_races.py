"""Two of everything at once: batches, settlers, raters, invoices."""

from __future__ import annotations

from datetime import timedelta

from billing import selectors as billing_reads
from billing import services as billing
from billing.models import Invoice
from metering_ingest import selectors, services
from tests.metering_ingest.scene import HOUR, Bought, event
from tests.races.market.conftest import together

SENT = HOUR + timedelta(minutes=2)


def test_the_same_batch_sent_by_many_at_once_counts_once(bought: Bought) -> None:
    events = [event(bought.allocations[n % 2], f"r{n}") for n in range(50)]
    send = lambda: services.ingest_records(events, sender=bought.operator, now=SENT).accepted  # noqa: E731

    accepted = together(*[send] * 6)

    assert not [repr(one.__cause__) for one in accepted if isinstance(one, Exception)]
    assert sorted(accepted) == [0, 0, 0, 0, 0, 50]
    assert selectors.totals().records == 50
    assert selectors.verify() == []


def test_two_settlers_and_two_raters_leave_no_gap_and_rate_once(bought: Bought) -> None:
    for n in range(4):
        services.ingest_records(
            [event(one, f"{n}{one.id}") for one in bought.allocations], sender=bought.operator, now=SENT
        )
        found = together(
            *[lambda: services.settle(now=SENT, quiet_seconds=0)] * 2, *[lambda: billing.rate_settled(now=SENT)] * 2
        )
        assert not [one for one in found if isinstance(one, Exception)]
    billing.rate_settled(now=SENT)

    assert selectors.verify() == [] and billing_reads.verify() == []
    assert (
        sum(one.micro_st for one in selectors.buckets_of([a.id for a in bought.allocations]))
        == selectors.totals().micro_st
    )


def test_many_who_issue_the_invoice_at_once_get_one(bought: Bought) -> None:
    services.ingest_records(
        [event(bought.allocations[0], f"r{n}", prompt=900, generated=400) for n in range(90)],
        sender=bought.operator,
        now=SENT,
    )
    services.settle(now=SENT, quiet_seconds=0)
    billing.rate_settled(now=SENT)

    found = together(*[lambda: billing.invoice_to_date(actor=bought.buyer, now=SENT + timedelta(minutes=1))] * 5)

    assert sum(isinstance(one, billing.NothingToInvoice) for one in found) == 4
    assert list(Invoice.objects.values_list("number", flat=True)) == [1]
    assert billing_reads.verify() == []
