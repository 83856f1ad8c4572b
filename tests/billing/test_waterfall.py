"""From metered to paid: every step from its own rows, nothing unexplained, and what waits by its cause."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing import selectors, services
from billing.kernel.periods import market_date
from billing.selectors.waterfall import Waterfall
from market import services as trading
from metering_ingest import services as metering
from tests.billing.scene import LATER, SENT, issue, signed_in, use
from tests.billing.test_charges import CLOSED
from tests.billing.test_contested import contest, decide, worth
from tests.metering_ingest.scene import HOUR, Bought, event

DAY = market_date(HOUR)


def found(bought: Bought) -> Waterfall:
    return selectors.waterfall(bought.buyer.organisation_id, first=DAY, last=DAY)


def causes(bought: Bought) -> list[str]:
    return [row.cause for row in selectors.open_rows(bought.buyer.organisation_id, first=DAY, last=DAY)]


class TestSteps:
    def test_follow_usage_from_the_meter_to_the_invoice(self, bought: Bought) -> None:
        price = bought.allocations[0].price_micros
        metering.ingest_records([event(bought.allocations[0], "r", prompt=9_000, generated=1_000)],
                                sender=bought.operator, now=SENT)  # fmt: skip
        step = found(bought)
        assert step.metered == step.unsettled > 0
        assert (step.rated, step.unexplained, causes(bought)) == (0, 0, ["unsettled"])

        metering.settle(now=SENT, quiet_seconds=0)
        step = found(bought)
        assert (step.unsettled, step.unrated, step.rated) == (0, step.metered, 0)

        services.rate_settled(now=SENT)
        step = found(bought)
        assert (step.unrated, step.rated, step.uninvoiced) == (0, step.metered, step.metered)
        assert step.metered % price == 0
        assert (step.from_wallet_micros, step.owed_micros) == (step.metered // 10**12, 0)
        assert causes(bought) == ["uninvoiced"]

    def test_end_at_the_invoice_with_nothing_left(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=7)
        issue(bought)

        step = found(bought)
        assert (step.metered, step.uninvoiced, step.unexplained) == (step.invoiced, 0, 0)
        assert causes(bought) == []

    def test_show_usage_that_another_purchase_takes(self, bought: Bought) -> None:
        first, second = bought.allocations
        use(bought, 9_000, 1_000, times=8, allocation=1)  # 15,800 ST of 10,000

        step = found(bought)
        over = step.rated - step.metered
        assert over == step.repriced
        assert (over == 0) == (first.price_micros == second.price_micros)
        assert step.unexplained == 0

    def test_have_charges_of_their_own(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000)
        trading.obligations.close_windows(now=CLOSED)
        services.rate_settled(now=CLOSED)

        step = found(bought)
        assert step.undrawn > 0
        assert (step.rated, step.unexplained) == (step.metered + step.undrawn, 0)

    def test_name_what_is_contested_and_what_came_back(self, bought: Bought) -> None:
        dispute = contest(bought)
        services.contested.move(now=LATER)
        assert found(bought).frozen_micros == worth(bought, dispute.freeze_micro_st)
        assert "contested" in causes(bought)
        decide(bought, dispute, dispute.freeze_micro_st)
        services.contested.move(now=LATER)

        assert (found(bought).frozen_micros, found(bought).credited_micros) == (
            0,
            worth(bought, dispute.freeze_micro_st),
        )

    def test_name_usage_beyond_everything_bought(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=20)

        step = found(bought)
        assert step.unrated > 0 and step.unexplained == 0
        assert "overflow" in causes(bought)

    def test_are_of_the_days_asked_for_and_of_the_buyer(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000)
        after = DAY + timedelta(days=1)
        assert selectors.waterfall(bought.buyer.organisation_id, first=after, last=after).metered == 0
        assert selectors.waterfall(bought.stranger.organisation_id, first=DAY, last=DAY).metered == 0


class TestPage:
    @pytest.mark.parametrize(("language", "words"), [("en", "From metered to invoiced"), ("zh-hans", "从计量到开票")])
    def test_draws_the_steps(self, bought: Bought, language: str, words: str) -> None:
        use(bought, 9_000, 1_000)
        page = signed_in(bought.buyer, language=language).get("/billing/reconcile/?days=90")

        assert page.status_code == 200
        assert words in page.content.decode()
        assert 'data-chart="waterfall"' in page.content.decode()

    def test_is_empty_for_who_bought_nothing(self, bought: Bought) -> None:
        page = signed_in(bought.stranger).get("/billing/reconcile/?days=nonsense").content.decode()
        assert "Nothing bought or used yet" in page

    def test_needs_the_right(self, bought: Bought) -> None:
        assert signed_in(bought.buyer, "viewer").get("/billing/reconcile/").status_code == 403
