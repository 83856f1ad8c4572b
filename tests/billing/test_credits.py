"""What a seller gives back: out of what it earned, once, at most what it has, into the buyer's wallet."""

from __future__ import annotations

from datetime import timedelta

from billing import selectors, services
from billing.models import Credit, DayClose, RatedLine
from config import seeding
from ledger import selectors as ledger
from ledger import services as accounts
from market import selectors as market
from market import services as trading
from market.models import AllocationUse, Charge
from metering_ingest import selectors as metering
from tests.billing.scene import LATER, signed_in, use
from tests.billing.test_charges import CLOSED, deliver
from tests.metering_ingest.scene import HOUR, NOW, Bought, buy
from tests.races.market.conftest import together
from tests.races.thread.conftest import bought as committed
from tests.races.thread.conftest import triggers_back

__all__ = ["committed", "triggers_back"]
ST = 10**6


def fall_short(bought: Bought, micro_st: int, name: str = "failed") -> int:
    (first, *_) = bought.allocations
    return trading.shortfalls.record(first.id, request_id=name, micro_st=micro_st, now=HOUR + timedelta(minutes=30))


def held_by_seller(bought: Bought) -> int:
    account = accounts.open_account(organisation_id=bought.provider.organisation_id, kind="payable_held")
    return ledger.balance(account).posted_micros


def finish(bought: Bought) -> None:
    """The window ends, its day is closed, and what is owed is paid."""
    trading.obligations.close_windows(now=CLOSED)
    services.rate_settled(now=CLOSED)
    services.close_days(now=LATER)


def whole() -> None:
    assert [*market.verify(), *selectors.verify(), *ledger.verify(), *metering.verify()] == []


class TestCredits:
    def test_move_from_what_the_day_brought_into_the_buyers_wallet(self, bought: Bought) -> None:
        owed = fall_short(bought, 1_000 * ST) * bought.allocations[0].price_micros // 10**12
        finish(bought)
        wallet, seller = ledger.wallet(bought.buyer.organisation_id), held_by_seller(bought)

        assert services.credits.pay(now=LATER) == 1

        assert owed == 1_000 * bought.allocations[0].price_micros // ST
        assert ledger.wallet(bought.buyer.organisation_id).available_micros == wallet.available_micros + owed
        assert held_by_seller(bought) == seller - owed
        row = Credit.objects.get()
        assert (row.owed_micros, row.paid_micros, row.delivery_date.isoformat()) == (owed, owed, "2026-11-25")
        whole()

    def test_are_paid_once(self, bought: Bought) -> None:
        fall_short(bought, 1_000 * ST)
        finish(bought)

        assert [services.credits.pay(now=LATER) for _ in range(3)] == [1, 0, 0]
        whole()

    def test_wait_for_the_end_of_the_sellers_day(self, bought: Bought) -> None:
        fall_short(bought, 1_000 * ST)
        trading.obligations.close_windows(now=CLOSED)

        assert services.credits.pay(now=CLOSED) == 0
        assert services.credits.pay(now=HOUR + timedelta(hours=23)) == 0

    def test_that_the_seller_cannot_pay_stay_owed(self, bought: Bought) -> None:
        """Rating was away: the day is closed later, and then the rest is paid."""
        owed = fall_short(bought, 1_000 * ST) * bought.allocations[0].price_micros // 10**12
        trading.obligations.close_windows(now=CLOSED)
        services.close_days(now=LATER)

        assert services.credits.pay(now=LATER) == 0
        assert (Credit.objects.get().owed_micros, Credit.objects.get().paid_micros) == (owed, 0)
        services.rate_settled(now=LATER)
        services.close_days(now=LATER + timedelta(days=1))

        assert [services.credits.pay(now=LATER + timedelta(days=1)) for _ in range(2)] == [1, 0]
        assert Credit.objects.get().paid_micros == owed
        assert DayClose.objects.exists()
        whole()

    def test_are_not_paid_with_what_others_paid(self, bought: Bought) -> None:
        """A second buyer, to whom everything fell short, brought the seller nothing: what is held is the first one's."""
        puppet = seeding.buyer("Puppet", deposit_micros=10**9, staff=bought.operator, now=NOW)
        buy(puppet, 6_000)
        for one in market.allocations(puppet):
            trading.shortfalls.record(
                one.id, request_id=str(one.id), micro_st=one.quantity_st * ST, now=HOUR + timedelta(minutes=59)
            )
        finish(bought)
        held = held_by_seller(bought)

        services.credits.pay(now=LATER)

        row = Credit.objects.get(buyer_id=puppet.organisation_id)
        assert 0 <= row.paid_micros < row.owed_micros // 10
        assert held_by_seller(bought) == held - row.paid_micros
        assert selectors.verify() == [] and ledger.verify() == []

    def test_leave_room_for_nothing_else(self, bought: Bought) -> None:
        """What fell short is neither charged nor sold again to usage that is metered late."""
        short = trading.shortfalls.record(
            bought.allocations[0].id, request_id="failed", micro_st=5_000 * ST, now=HOUR + timedelta(minutes=59)
        )
        finish(bought)
        use(bought, 9_000, 1_000, times=20, at=timedelta(hours=2))

        first = bought.allocations[0]
        paid = sum(line.micro_st for line in RatedLine.objects.filter(allocation_id=first.id, live=True))
        assert paid <= first.quantity_st * ST - short

    def test_for_a_broken_promise_are_of_all_that_was_drawn(self, bought: Bought) -> None:
        deliver(bought, 9_000, 1_000)
        AllocationUse.objects.update(judged=2, kept=1)

        finish(bought)
        services.credits.pay(now=LATER)

        charge = Charge.objects.get(kind="promise")
        drawn = AllocationUse.objects.get(allocation_id=charge.allocation_id).drawn_micro_st
        own = bought.allocations[0].price_micros
        assert charge.exact == drawn * (own - own * 7 // 10)
        assert Credit.objects.get(charge=charge).paid_micros == charge.exact // 10**12
        whole()

    def test_stand_on_the_balance_page_in_both_languages(self, bought: Bought) -> None:
        fall_short(bought, 1_000 * ST)
        finish(bought)
        services.credits.pay(now=LATER)

        english = signed_in(bought.buyer).get("/billing/balance/").content.decode()
        chinese = signed_in(bought.buyer, "owner", language="zh-hans").get("/billing/balance/").content.decode()

        assert "Back from the seller: not delivered" in english
        assert "卖方退回：未交付" in chinese


class TestTwoWorkers:
    def test_pay_each_credit_once(self, committed: Bought) -> None:
        for n in range(4):
            fall_short(committed, 300 * ST, f"r{n}")
        finish(committed)

        together(*[lambda: services.credits.pay(now=LATER)] * 4)
        services.credits.pay(now=LATER)

        assert Credit.objects.count() == 4
        whole()
