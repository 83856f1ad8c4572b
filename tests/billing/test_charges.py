"""What was bought ahead and not drawn: charged once, from the hold, on a line of its own, to the last micro-ST."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing import selectors, services
from billing.models import AllocationPosting, DayClose, InvoiceLine, RatedLine
from ledger import selectors as ledger
from market import selectors as market
from market import services as trading
from market.models import AllocationClose, Charge
from market.services.cancellation import Cancellation
from market.services.draws import DrawItem
from metering_ingest import selectors as metering
from metering_ingest import services as meter
from tests.billing.scene import LATER, SENT, issue, tamper, use
from tests.metering_ingest.scene import HOUR, Bought, build, event
from tests.races.market.conftest import together
from tests.races.thread.conftest import bought as committed
from tests.races.thread.conftest import triggers_back

__all__ = ["committed", "triggers_back"]
ENDED = HOUR + timedelta(hours=1)
CLOSED = ENDED + timedelta(minutes=15)
ST = 10**6


def deliver(bought: Bought, prompt: int, generated: int, *, name: str = "r") -> None:
    """Draw a request as the gateway does, meter it and rate it."""
    (first, *_) = bought.allocations
    before = sum(one.micro_st for one in metering.buckets_of([first.id]))
    use(bought, prompt, generated, name=name)
    used = sum(one.micro_st for one in metering.buckets_of([first.id])) - before
    item = DrawItem(bought.buyer.organisation_id, first.product_id, name, used)
    trading.draws.draw_many([item], now=SENT)


def close(*, rate: bool = True) -> int:
    closed = trading.obligations.close_windows(now=CLOSED)
    if rate:
        services.rate_settled(now=CLOSED)
    return closed


def whole() -> None:
    assert [*market.verify(), *selectors.verify(), *ledger.verify(), *metering.verify()] == []


class TestUndrawn:
    def test_is_charged_at_the_price_of_its_allocation_so_that_all_of_it_is_paid(self, bought: Bought) -> None:
        deliver(bought, 9_000, 1_000)

        assert close() == 2

        for one in bought.allocations:
            paid = sum(int(line.exact) for line in RatedLine.objects.filter(allocation_id=one.id, live=True))
            assert paid == one.quantity_st * ST * one.price_micros
            assert AllocationPosting.objects.get(allocation_id=one.id).posted_micros == one.cost_micros
        whole()

    def test_comes_from_the_hold_and_leaves_nothing_of_it(self, bought: Bought) -> None:
        deliver(bought, 9_000, 1_000)
        wallet = ledger.wallet(bought.buyer.organisation_id)

        close()

        after = ledger.wallet(bought.buyer.organisation_id)
        assert after.held_micros == 0
        assert after.available_micros == wallet.available_micros

    def test_waits_for_the_grace_after_the_window(self, bought: Bought) -> None:
        assert trading.obligations.close_windows(now=CLOSED - timedelta(seconds=1)) == 0
        assert not Charge.objects.exists()

        assert close() == 2

    def test_is_charged_once_however_often_it_is_looked_for(self, bought: Bought) -> None:
        close()
        lines = RatedLine.objects.count()

        assert close() == 0
        assert services.rate_settled(now=LATER) == 0

        assert RatedLine.objects.count() == lines == Charge.objects.count() == 2
        whole()

    def test_of_the_running_hour_is_not_charged(self, bought: Bought) -> None:
        with_now = [one.created_at for one in bought.allocations]
        assert all(at < HOUR for at in with_now)
        tamper(f"UPDATE market_allocation SET created_at = '{HOUR + timedelta(minutes=1)}'", "market_allocation")

        close()

        assert not Charge.objects.exists()
        assert [row.undrawn_micro_st for row in AllocationClose.objects.order_by("allocation_id")] == [
            one.quantity_st * ST for one in sorted(bought.allocations, key=lambda one: one.id)
        ]

    def test_is_not_charged_while_a_request_still_runs(self, bought: Bought) -> None:
        reserved = trading.draws.reserve(
            organisation_id=bought.buyer.organisation_id, line=bought.allocations[0].line, request_id="runs",
            micro_st=1_000 * ST, now=ENDED - timedelta(seconds=1),
        )  # fmt: skip

        assert close() == 1
        trading.draws.settle(reserved.id, used_micro_st=400 * ST, now=CLOSED)
        assert close() == 1

        used = Charge.objects.get(allocation_id=reserved.parts[0].allocation_id)
        assert used.micro_st == (bought.allocations[0].quantity_st - 400) * ST
        assert market.verify() == []

    def test_cannot_be_drawn_any_more(self, bought: Bought) -> None:
        close()

        with pytest.raises(trading.MarketError) as refused:
            deliver(bought, 1, 1)

        assert refused.value.code == "no_allocation"

    def test_gives_way_to_usage_that_is_metered_late(self, bought: Bought) -> None:
        close()

        use(bought, 9_000, 1_000, at=timedelta(hours=2))

        for one in bought.allocations:
            paid = sum(int(line.exact) for line in RatedLine.objects.filter(allocation_id=one.id, live=True))
            assert paid == one.quantity_st * ST * one.price_micros
        assert selectors.verify() == [] and ledger.verify() == []

    @pytest.mark.django_db
    def test_moves_to_where_usage_left_room(self) -> None:
        """A request drawn on both allocations is metered on the first; what is charged makes room for it."""
        bought = build(quantities=(3_000, 3_000, 3_000))
        first, _, third = bought.allocations
        events = [event(first, f"big-{n}", prompt=9_000, generated=1_000) for n in range(3)]
        meter.ingest_records(events, sender=bought.operator, now=SENT)
        (bucket,) = metering.buckets_of([first.id])
        beyond = bucket.micro_st - first.quantity_st * ST
        assert 0 < beyond < third.quantity_st * ST
        tamper(
            "INSERT INTO market_allocationuse (allocation_id, bought_micro_st, reserved_micro_st, drawn_micro_st, "
            "short_micro_st, ended_micro_st, judged, kept) VALUES "
            f"('{first.id}', {3_000 * ST}, 0, {3_000 * ST}, 0, 0, 0, 0), ('{third.id}', {3_000 * ST}, 0, {beyond}, 0, 0, 0, 0)"
        )
        meter.settle(now=SENT, quiet_seconds=0)

        close()

        paid = {one.id: 0 for one in bought.allocations}
        for line in RatedLine.objects.filter(live=True):
            paid[line.allocation_id] += line.micro_st
        assert paid == {one.id: one.quantity_st * ST for one in bought.allocations}
        whole()


class TestInvoice:
    def test_has_a_line_of_its_own_for_it(self, bought: Bought) -> None:
        deliver(bought, 9_000, 1_000)
        close()

        invoice = issue(bought)

        usage, undrawn = InvoiceLine.objects.filter(invoice=invoice).order_by("number")
        assert (usage.kind, undrawn.kind) == ("usage", "take_or_pay")
        assert usage.micro_st + undrawn.micro_st == sum(one.quantity_st for one in bought.allocations) * ST
        assert undrawn.input_tokens == undrawn.output_tokens == 0
        assert invoice.exact == sum(one.quantity_st * ST * one.price_micros for one in bought.allocations)
        assert [line["kind"] for line in invoice.figures["lines"]] == ["usage", "take_or_pay"]
        whole()

    def test_that_has_usage_already_gets_only_the_rest_on_the_next_one(self, bought: Bought) -> None:
        deliver(bought, 9_000, 1_000)
        first = issue(bought)
        close()
        second = issue(bought)

        assert int(first.exact) + int(second.exact) == sum(
            one.quantity_st * ST * one.price_micros for one in bought.allocations
        )
        whole()

    def test_and_the_providers_day_have_the_same_gross(self, bought: Bought) -> None:
        deliver(bought, 9_000, 1_000)
        close()
        services.close_days(now=LATER)

        assert DayClose.objects.get().gross_micros == sum(one.cost_micros for one in bought.allocations)
        whole()


class TestCancellation:
    @pytest.fixture
    def cancelled(self, bought: Bought) -> Cancellation:
        return trading.cancellation.cancel(
            bought.allocations[0].id, actor=bought.buyer, now=HOUR - timedelta(minutes=5)
        )

    def test_fee_is_posted_from_the_hold_and_has_a_line_of_its_own(
        self, bought: Bought, cancelled: Cancellation
    ) -> None:
        services.rate_settled(now=HOUR)
        assert ledger.hold_rests([cancelled.allocation.hold_id]) == {cancelled.allocation.hold_id: 0}
        close()

        invoice = issue(bought)

        undrawn, fee = InvoiceLine.objects.filter(invoice=invoice).order_by("number")
        assert (undrawn.kind, fee.kind) == ("take_or_pay", "cancellation")
        assert fee.micro_st == cancelled.allocation.quantity_st * ST
        assert int(fee.exact) == cancelled.fee_micros * 10**12
        assert int(undrawn.exact) == bought.allocations[1].cost_micros * 10**12
        whole()

    def test_fee_is_the_providers_through_the_same_day_close(self, bought: Bought, cancelled: Cancellation) -> None:
        close()
        services.close_days(now=LATER)

        assert DayClose.objects.get().gross_micros == cancelled.fee_micros + bought.allocations[1].cost_micros
        whole()

    def test_leaves_nothing_that_usage_could_consume(self, bought: Bought, cancelled: Cancellation) -> None:
        use(bought, 9_000, 1_000, times=8, allocation=1)  # beyond the second allocation

        usage = RatedLine.objects.filter(live=True, charge__isnull=True)
        assert {line.allocation_id for line in usage} == {bought.allocations[1].id}
        assert sum(line.micro_st for line in usage) == bought.allocations[1].quantity_st * ST


class TestTampering:
    @pytest.mark.parametrize(
        ("rule", "statement"),
        [
            ("no charge without its reason, none missing", "UPDATE market_charge SET micro_st = micro_st - 1, exact = (micro_st - 1)::numeric * price_micros"),
            ("a closed window's allocation = drawn + undrawn + short + cancelled", "DELETE FROM market_allocationclose"),
        ],
    )  # fmt: skip
    def test_is_found(self, bought: Bought, rule: str, statement: str) -> None:
        close()

        tamper(statement, "market_charge", "market_allocationclose")

        assert rule in {breach.rule for breach in market.verify()}

    def test_a_charge_that_is_billed_for_less_is_found(self, bought: Bought) -> None:
        close()

        tamper("UPDATE billing_ratedline SET live = false", "billing_ratedline")

        assert "every charge is billed once" in {breach.rule for breach in selectors.verify()}


class TestRaces:
    def test_two_closers_and_two_raters_at_once_charge_once(self, committed: Bought) -> None:
        together(*[close] * 4)
        services.rate_settled(now=CLOSED)

        assert Charge.objects.count() == len(committed.allocations)
        for one in committed.allocations:
            assert AllocationPosting.objects.get(allocation_id=one.id).posted_micros == one.cost_micros
        whole()

    def test_a_cancellation_and_a_closer_at_once_leave_one_of_both(self, committed: Bought) -> None:
        (first, *_) = committed.allocations
        together(
            close,
            lambda: trading.cancellation.cancel(first.id, actor=committed.buyer, now=HOUR - timedelta(seconds=1)),
            lambda: trading.cancellation.cancel(first.id, actor=committed.buyer, now=HOUR - timedelta(seconds=1)),
            close,
        )
        close()

        kinds = list(Charge.objects.filter(allocation_id=first.id).values_list("kind", flat=True))
        assert len(kinds) == 1
        whole()
