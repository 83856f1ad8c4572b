"""A provider's delivery day becomes payable, fee and tax, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from billing import selectors, services
from billing.kernel.periods import market_date
from billing.kernel.rounding import divide_half_up
from billing.models import AllocationPosting, DayClose, TaxRate
from config.seeding import FEE_BPS
from ledger import selectors as ledger
from ledger import services as ledger_services
from tests.billing.scene import LATER, issue, use
from tests.metering_ingest.scene import HOUR, Bought

DAY = market_date(HOUR)
DUE = datetime(2026, 11, 26, 16, tzinfo=UTC)  # 24 h after the delivery day ended in Shanghai


def posted() -> int:
    return sum(row.posted_micros for row in AllocationPosting.objects.all())


def balance(kind: str, bought: Bought | None = None) -> int:
    owner = bought.provider.organisation_id if bought else None
    return ledger.balance(ledger_services.open_account(organisation_id=owner, kind=kind)).posted_micros


class TestDayClose:
    def test_waits_a_day(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=7)

        assert services.close_days(now=DUE - timedelta(seconds=1)) == 0
        assert services.close_days(now=DUE) == 1
        assert services.close_days(now=DUE + timedelta(days=9)) == 0

    def test_splits_the_gross_into_tax_fee_and_the_rest_each_rounded_once(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=7)
        use(bought, 9_000, 1_000, times=3, allocation=1, name="second")

        services.close_days(now=LATER)

        close = DayClose.objects.get()
        net = divide_half_up(close.gross_micros * 100, 106)
        assert (close.seller_id, close.delivery_date, close.gross_micros) == (
            bought.provider.organisation_id, DAY, posted(),
        )  # fmt: skip
        assert close.tax_micros == close.gross_micros - net
        assert close.fee_micros == divide_half_up(net * FEE_BPS, 10_000)
        assert close.payable_micros == net - close.fee_micros

    def test_moves_exactly_what_was_posted_out_of_unbilled(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=7)
        unbilled = ledger_services.open_account(organisation_id=bought.buyer.organisation_id, kind="unbilled")
        assert ledger.balance(unbilled).posted_micros == posted()

        services.close_days(now=LATER)

        close = DayClose.objects.get()
        assert ledger.balance(unbilled).posted_micros == 0
        assert balance("payable_held", bought) == close.payable_micros
        assert balance("fee_revenue") == close.fee_micros
        assert balance("tax_payable") == close.tax_micros
        assert ledger.verify() == [] and selectors.verify() == []

    def test_late_usage_makes_a_second_part_of_the_same_day(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=4)
        services.close_days(now=LATER)
        first = DayClose.objects.values().get()

        use(bought, 9_000, 1_000, times=2, name="late", at=timedelta(days=4))
        services.close_days(now=LATER + timedelta(days=2))

        assert DayClose.objects.values().get(part=1) == first
        assert list(DayClose.objects.order_by("part").values_list("delivery_date", "part")) == [(DAY, 1), (DAY, 2)]
        assert sum(close.gross_micros for close in DayClose.objects.all()) == posted()
        earned = selectors.earned(bought.provider.organisation_id)
        assert earned.gross_micros == earned.payable_micros + earned.fee_micros + earned.tax_micros == posted()
        assert ledger.verify() == [] and selectors.verify() == []

    @pytest.mark.parametrize("invoice_first", [True, False])
    def test_and_the_invoice_may_come_in_either_order(self, bought: Bought, invoice_first: bool) -> None:
        use(bought, 9_000, 1_000, times=7)

        for step in (issue, lambda _: services.close_days(now=LATER))[:: 1 if invoice_first else -1]:
            step(bought)

        assert ledger.verify() == [] and selectors.verify() == []
        assert balance("payable_held", bought) == DayClose.objects.get().payable_micros

    def test_takes_the_tax_rate_of_the_delivery_day(self, bought: Bought) -> None:
        TaxRate.objects.update(valid_until=DAY - timedelta(days=1))
        TaxRate.objects.create(code="general", rate_bps=900, valid_from=DAY)
        use(bought, 9_000, 1_000, times=7)

        services.close_days(now=LATER)

        close = DayClose.objects.get()
        assert close.tax_micros == close.gross_micros - divide_half_up(close.gross_micros * 100, 109)

    def test_that_does_not_add_up_is_refused_by_the_database(self, bought: Bought) -> None:
        with pytest.raises(IntegrityError, match="day_close_adds_up"), transaction.atomic():
            DayClose.objects.create(
                seller_id=bought.provider.organisation_id, delivery_date=DAY, part=1, currency="CNY", gross_micros=10,
                tax_micros=1, fee_micros=1, payable_micros=9, closed_at=LATER,
            )  # fmt: skip
