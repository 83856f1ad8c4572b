"""Money of disputes by several workers at once, while the day is closed and usage is rated: moved once."""

from __future__ import annotations

from datetime import timedelta

from billing import selectors as billing_reads
from billing import services as billing
from billing.models import ContestedAmount
from ledger import selectors as ledger
from metering_ingest import services as metering
from metering_ingest.reconciliation_models import Dispute
from metering_ingest.services import disputes
from metering_ingest.services.reconcile import reconcile_due
from tests.billing.scene import LATER
from tests.metering_ingest.meters import OVER, send
from tests.metering_ingest.scene import Bought
from tests.races.market.conftest import together
from tests.races.thread.conftest import bought, triggers_back

__all__ = ["bought", "triggers_back"]


def test_movers_closers_and_raters_at_once_move_each_amount_once(bought: Bought) -> None:
    send(bought, "gateway", range(6), prompt=9_000, generated=1_000)
    metering.settle(now=OVER, quiet_seconds=0)
    billing.rate_settled(now=OVER)
    send(bought, "agent", range(3), prompt=9_000, generated=1_000)
    reconcile_due(now=OVER, quiet_seconds=0)
    dispute = Dispute.objects.get()
    move, close, rate = (
        lambda: billing.contested.move(now=LATER),
        lambda: billing.close_days(now=LATER),
        lambda: billing.rate_settled(now=LATER),
    )

    frozen = together(move, move, close, close, rate, move)
    assert [one for one in frozen if isinstance(one, Exception)] == []
    assert ContestedAmount.objects.count() == 1
    disputes.decide(
        dispute.id, credited_micro_st=dispute.freeze_micro_st, amend=False, reason="Seen.", actor=bought.operator,
        now=LATER + timedelta(hours=1),
    )  # fmt: skip
    wallet = ledger.wallet(bought.buyer.organisation_id).posted_micros
    settled = together(move, close, move, rate, move, close)

    assert [one for one in settled if isinstance(one, Exception)] == []
    row = ContestedAmount.objects.get()
    assert row.credited_micros == row.paid_micros
    assert ledger.wallet(bought.buyer.organisation_id).posted_micros == wallet + row.paid_micros
    assert [*billing_reads.verify(), *ledger.verify()] == []
