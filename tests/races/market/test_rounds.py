"""Rounds against other workers, cancels, and a killed process."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection

from accounts.selectors import actors
from ledger import selectors as ledger
from ledger.services import InsufficientFunds
from market import locks, selectors, services
from market.kernel.errors import OrderEnded
from market.models import Fill, ModelLine, Round
from market.services import failpoints, freezing
from tests.races.market.conftest import together

YUAN = 10**6

CLEAR = """
import sys, django
django.setup()
from datetime import datetime
from uuid import UUID
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
from market import services
services.rounds.clear(UUID(sys.argv[2]), now=datetime.fromisoformat(sys.argv[3]))
"""


def crossing(world, count):
    """A buyer with `count` bids and a seller with as many offers, which all cross."""
    buyer, seller = world.organisation("buyer", yuan=100), world.organisation("provider")
    bids = [world.bid(buyer, 1_000, 2 * YUAN) for _ in range(count)]
    offers = [world.offer(seller, 1_000, 2 * YUAN - 10_000) for _ in range(count)]
    return buyer, bids, offers


def assert_whole():
    assert selectors.verify() == []
    assert ledger.verify() == []


def after_a_while(chance, step):
    """Start a little later than the others, so that the race goes every way."""
    time.sleep(chance.uniform(0, 0.02))
    return step()


class TestFourWorkers:
    def test_clear_each_round_once(self, world):
        crossing(world, 3)
        for number in range(1, 16):
            world.now = selectors.the_market().next_close_at

            results = together(*[lambda: services.rounds.clear(world.market_id, now=world.now)] * 4)

            assert [one.number for one in results if one is not None] == [number]

        assert Round.objects.filter(state="cleared").count() == 15
        assert_whole()


class TestCancelAgainstClear:
    def test_gives_each_order_exactly_one_end_and_its_exact_refund(self, world):
        buyer = world.organisation("buyer", yuan=1_000)
        chance, ends = random.Random(7), set()
        for _ in range(25):
            seller = world.organisation("provider")
            bids = [world.bid(buyer, 2_000, 2 * YUAN) for _ in range(3)]
            world.offer(seller, 3_000, 2 * YUAN)
            world.now = selectors.the_market().next_close_at
            steps = [lambda: after_a_while(chance, lambda: services.rounds.clear(world.market_id, now=world.now))]
            for bid in bids:
                cancel = partial(services.orders.cancel, bid.id, actor=buyer, now=world.now)
                steps.append(lambda cancel=cancel: after_a_while(chance, cancel))
            chance.shuffle(steps)

            results = together(*steps)

            assert all(not isinstance(one, Exception) or isinstance(one, OrderEnded) for one in results), results
            services.orders.cancel_all(actor=buyer, now=world.now)
            services.orders.cancel_all(actor=seller, now=world.now)
            after = [world.order(bid) for bid in bids]
            assert all(one.status in {"filled", "cancelled"} for one in after)
            ends |= {(one.status, one.filled_st) for one in after}
        bought = sum(one.cost_micros for one in selectors.allocations(buyer))
        assert ledger.wallet(buyer.organisation_id, "CNY").held_micros == bought
        assert len(ends) > 1, "the race went both ways"
        assert_whole()


class TestAmendAgainstClear:
    def test_and_cancel_leaves_each_order_and_its_hold_whole(self, world):
        buyer = world.organisation("buyer", yuan=1_000)
        chance, ends = random.Random(7), set()
        for _ in range(15):
            bids = [world.bid(buyer, 2_000, 2 * YUAN - 20_000) for _ in range(3)]
            world.offer(world.organisation("provider"), 3_000, 2 * YUAN - 20_000)
            world.now = selectors.the_market().next_close_at
            steps = [lambda: services.rounds.clear(world.market_id, now=world.now)]
            for bid in bids:
                change = services.Change(quantity_st=3_000, limit_micros=2 * YUAN)
                steps.append(partial(services.amending.amend, bid.id, change, actor=buyer, now=world.now))
            steps.append(partial(services.orders.cancel, bids[0].id, actor=buyer, now=world.now))
            chance.shuffle(steps)

            results = together(*[partial(after_a_while, chance, step) for step in steps])

            assert all(not isinstance(one, Exception) or isinstance(one, OrderEnded) for one in results), results
            assert_whole()
            ends |= {(one.status, one.quantity_st, one.filled_st) for one in map(world.order, bids)}
            services.orders.cancel_all(actor=buyer, now=world.now)
        bought = sum(one.cost_micros for one in selectors.allocations(buyer))
        assert ledger.wallet(buyer.organisation_id, "CNY").held_micros == bought
        assert len(ends) > 1, "the race went more than one way"


class TestHaltAgainstClear:
    def test_lets_no_round_come_after_it_and_every_hold_go(self, world):
        buyer, seller = world.organisation("buyer", yuan=1_000), world.organisation("provider")
        staff, chance, cleared = actors.of_organisation(world.operator), random.Random(27), set()
        for _ in range(50):
            world.bid(buyer, 3_000, 2 * YUAN)
            world.offer(seller, 2_000, 2 * YUAN - 10_000)
            before = selectors.the_market()
            world.now = before.next_close_at
            halt = partial(services.markets.halt, world.market_id, reason="drill", actor=staff, now=world.now)
            steps = [partial(services.rounds.clear, world.market_id, now=world.now), halt]

            results = together(*[partial(after_a_while, chance, step) for step in steps])

            assert not any(isinstance(one, Exception) for one in results), results
            after = selectors.the_market()
            assert services.rounds.clear(world.market_id, now=world.now + timedelta(seconds=30)) is None
            assert selectors.the_market().round_number == after.round_number
            services.orders.cancel_all(actor=buyer, now=world.now)
            services.orders.cancel_all(actor=seller, now=world.now)
            bought = sum(one.cost_micros for one in selectors.allocations(buyer))
            assert ledger.wallet(buyer.organisation_id, "CNY").held_micros == bought
            cleared.add(after.round_number - before.round_number)
            services.markets.resume(world.market_id, actor=staff, now=world.now)
        assert cleared == {0, 1}, "the race went both ways"
        assert_whole()


class TestHaltAgainstASecondFreeze:
    def test_waits_for_it_and_is_never_the_victim_of_a_deadlock(self, world, monkeypatch):
        """The clearer of a frozen round is lost; another freezes it anew while the operator halts a line."""
        buyer, staff = world.organisation("buyer", yuan=10), actors.of_organisation(world.operator)
        world.bid(buyer, 1_000, 2 * YUAN)
        world.now = selectors.the_market().next_close_at
        line = ModelLine.objects.get(slug=world.line).id
        assert freezing.freeze(world.market_id, now=world.now, is_alone=True) is not None
        round_to_clear = locks.round_to_clear

        def slowly(market):
            found = round_to_clear(market)
            time.sleep(0.6)
            return found

        monkeypatch.setattr(locks, "round_to_clear", slowly)

        def halt():
            time.sleep(0.2)
            return services.halts.impose(reason="drill", actor=staff, now=world.now, line_id=line)

        again, halted = together(lambda: freezing.freeze(world.market_id, now=world.now, is_alone=True), halt)

        assert not isinstance(halted, Exception), halted
        assert again.fence == 2
        assert Round.objects.get(number=1).fence == 3, "the halt takes the round back"


class TestFiftyBids:
    def test_on_money_for_ten_place_ten(self, world):
        buyer = world.organisation("buyer", yuan=20)

        results = together(*[lambda: world.bid(buyer, 10**6, 2 * YUAN)] * 50)

        assert sum(isinstance(one, selectors.OrderView) for one in results) == 10
        assert sum(isinstance(one, InsufficientFunds) for one in results) == 40
        assert ledger.wallet(buyer.organisation_id, "CNY").available_micros == 0
        assert_whole()


class TestSelfTrade:
    def test_does_not_slip_in_between_two_requests(self, world):
        for _ in range(5):
            both = world.organisation("both", yuan=10)
            supply_id = world.supply(both, 1_000)

            results = together(
                lambda: world.bid(both, 1_000, 2 * YUAN),
                lambda: world.offer(both, 1_000, 2 * YUAN, supply_id=supply_id),
            )

            assert sum(isinstance(one, selectors.OrderView) for one in results) == 1


class TestKilledWorker:
    @pytest.mark.parametrize(("point", "fills"), [("round.before_commit", 0), ("round.after_commit", 4)])
    def test_leaves_all_of_a_round_or_nothing(self, world, point, fills):
        crossing(world, 2)
        world.now = selectors.the_market().next_close_at

        killed = subprocess.run(
            [
                sys.executable,
                "-c",
                CLEAR,
                connection.settings_dict["NAME"],
                str(world.market_id),
                world.now.isoformat(),
            ],
            env={**os.environ, failpoints.VARIABLE: point},
            capture_output=True,
            check=False,
            timeout=60,
        )

        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert Fill.objects.count() == fills
        assert selectors.the_market().round_number == (1 if fills else 0)
        services.rounds.clear_due(now=world.now)
        assert Fill.objects.count() == 4
        assert selectors.the_market().round_number == 1
        assert_whole()
