"""Intake against the dead man's switch and against halts."""

import random
from datetime import timedelta
from functools import partial

from ledger import selectors as ledger
from market import selectors, services
from market.kernel.errors import LineHalted
from market.models import CancelAfter, ModelLine
from tests.races.market.conftest import together
from tests.races.market.test_rounds import after_a_while, assert_whole

YUAN = 10**6


class TestSwitchAgainstAnotherCall:
    def test_fires_or_is_put_off_and_never_half(self, world):
        buyer = world.organisation("buyer", yuan=100)
        chance, ends = random.Random(11), set()
        for _ in range(12):
            bids = [world.bid(buyer, 1_000, 2 * YUAN) for _ in range(3)]
            services.switches.cancel_all_after(1, actor=buyer, now=world.now)
            world.now += timedelta(seconds=1)
            steps = [
                partial(services.switches.fire_due, world.market_id, now=world.now),
                partial(services.sweep.sweep, now=world.now),
                partial(services.switches.cancel_all_after, 60, actor=buyer, now=world.now),
                partial(services.orders.cancel_all, actor=buyer, now=world.now, side="sell"),
            ]

            results = together(*[partial(after_a_while, chance, step) for step in steps])

            assert not [one for one in results if isinstance(one, Exception)]
            (status,) = {world.order(bid).status for bid in bids}
            ends.add(status)
            assert CancelAfter.objects.get().fires_at == world.now + timedelta(seconds=60)
            services.orders.cancel_all(actor=buyer, now=world.now)
        assert ends <= {"open", "cancelled"}
        assert ledger.wallet(buyer.organisation_id, "CNY").held_micros == 0
        assert_whole()


class TestHaltAgainstIntake:
    def test_lets_nothing_in_once_it_stands(self, world):
        buyer, line = world.organisation("buyer", yuan=100), ModelLine.objects.get(slug=world.line)
        chance = random.Random(5)
        for _ in range(8):
            before = selectors.count(buyer)

            def impose():
                halt = services.halts.impose(line_id=line.id, reason="drill", actor=buyer, now=world.now)
                return halt, selectors.count(buyer)

            place = partial(world.bid, buyer, 1_000, 2 * YUAN)
            (halt, standing), *placed = together(
                partial(after_a_while, chance, impose), *[partial(after_a_while, chance, place)] * 4
            )

            assert all(isinstance(one, selectors.OrderView | LineHalted) for one in placed), placed
            taken = sum(isinstance(one, selectors.OrderView) for one in placed)
            assert selectors.count(buyer) == standing == before + taken
            services.halts.lift(halt, actor=buyer, now=world.now)
        assert_whole()
