"""Giving up what was bought: a fifth to the seller, the rest free, and the supply to be sold again."""

from datetime import timedelta

import pytest

from accounts.models import AuditEvent
from ledger import selectors as ledger
from market import selectors, services
from market.kernel.errors import NoAllocation, NotFound, WindowOpen
from market.models import AllocationClose, Charge, Supply

MICRO = 10**6
pytestmark = pytest.mark.django_db


@pytest.fixture
def bought(world, buyer, seller):
    """3,000 and 2,000 ST of one supply in two orders of one round, at ¥2 per million."""
    supply = world.supply(seller, 5_000)
    for quantity in (3_000, 2_000):
        world.bid(buyer, quantity, 2_000_000)
        world.offer(seller, quantity, 2_000_000, supply_id=supply)
    world.round()
    return max(selectors.allocations(buyer), key=lambda one: one.quantity_st)


def cancel(world, one, actor):
    return services.cancellation.cancel(one.id, actor=actor, now=world.now)


@pytest.mark.usefixtures("whole")
class TestCancel:
    def test_keeps_a_fifth_held_and_frees_the_rest(self, world, bought, buyer):
        held = ledger.wallet(buyer.organisation_id).held_micros

        done = cancel(world, bought, buyer)

        assert (done.fee_micros, done.released_micros) == (bought.cost_micros // 5, bought.cost_micros * 4 // 5)
        assert ledger.hold_rests([bought.hold_id]) == {bought.hold_id: done.fee_micros}
        assert ledger.wallet(buyer.organisation_id).held_micros == held - done.released_micros

    def test_says_before_what_it_does(self, world, bought, buyer):
        before = services.cancellation.preview(bought.id, actor=buyer, now=world.now)

        assert not Charge.objects.exists()
        done = cancel(world, bought, buyer)

        assert (before.fee_micros, before.released_micros) == (done.fee_micros, done.released_micros)

    def test_charges_the_fee_once_however_often_it_is_asked_for(self, world, bought, buyer):
        answers = [cancel(world, bought, buyer) for _ in range(3)]

        assert answers[0] == answers[1] == answers[2]
        charge = Charge.objects.get()
        assert (charge.kind, charge.micro_st) == ("cancellation", bought.quantity_st * MICRO)
        assert int(charge.exact) == answers[0].fee_micros * 10**12
        assert AuditEvent.objects.filter(action="allocation.cancelled").count() == 1

    def test_lets_the_supply_be_sold_again_to_its_last_lot(self, world, bought, buyer, seller):
        supply = Supply.objects.get()
        assert (supply.sold_st, supply.due_micro_st_per_second) == (5_000, -(-5_000 * MICRO // 3_600))

        for one in selectors.allocations(buyer):
            cancel(world, one, buyer)

        supply.refresh_from_db()
        assert (supply.sold_st, supply.due_micro_st_per_second) == (0, 0)
        other = world.organisation("buyer", yuan=10)
        world.bid(other, 5_000, 2_000_000)
        world.offer(seller, 5_000, 2_000_000, supply_id=supply.id)
        assert world.round().volume_st == 5_000

    def test_cannot_be_drawn_and_is_not_charged_again_when_the_window_closes(self, world, bought, buyer):
        for one in selectors.allocations(buyer):
            cancel(world, one, buyer)

        with pytest.raises(NoAllocation):
            services.draws.reserve(
                organisation_id=buyer.organisation_id, line=world.line, request_id="r", micro_st=1,
                now=world.window + timedelta(minutes=1),
            )  # fmt: skip
        services.obligations.close_windows(now=world.window + timedelta(hours=2))

        # How orders are paired into allocations comes from the round's seed.
        assert dict(AllocationClose.objects.values_list("allocation_id", "cancelled_micro_st")) == {
            one.id: one.quantity_st * MICRO for one in selectors.allocations(buyer)
        }
        assert set(Charge.objects.values_list("kind", flat=True)) == {"cancellation"}

    def test_is_refused_once_the_window_has_opened(self, world, bought, buyer):
        world.now = world.window

        with pytest.raises(WindowOpen) as refused:
            cancel(world, bought, buyer)

        assert (refused.value.code, refused.value.status) == ("window_open", 409)

    @pytest.mark.parametrize("who", ["seller", "stranger"])
    def test_is_the_buyers_alone(self, world, bought, seller, who):
        actor = seller if who == "seller" else world.organisation("buyer")

        with pytest.raises(NotFound):
            cancel(world, bought, actor)
