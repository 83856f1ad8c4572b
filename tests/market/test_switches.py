"""Cancel all after: the dead man's switch."""

from datetime import datetime, timedelta

import pytest

from accounts.models import AuditEvent
from accounts.selectors import clock
from ledger import selectors as ledger
from market import services
from market.models import CancelAfter
from tests.market.test_api import client_of

YUAN = 10**6
URL = "/api/v1/orders/cancel-all-after"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


def arm(world, actor, seconds):
    return services.switches.cancel_all_after(seconds, actor=actor, now=world.now)


class TestSwitch:
    def test_cancels_before_the_round_that_it_falls_in(self, world, buyer, seller):
        bid = world.bid(buyer, 1_000, 2 * YUAN)
        offer = world.offer(seller, 1_000, 2 * YUAN)
        arm(world, buyer, 1)

        summary = world.round()

        assert summary.fills == 0
        assert (world.order(bid).status, world.order(offer).status) == ("cancelled", "open")
        assert ledger.wallet(buyer.organisation_id, "CNY").held_micros == 0
        assert AuditEvent.objects.get(action="orders.cancelled").detail == {"orders": 1, "cause": "cancel_all_after"}

    def test_leaves_orders_alone_before_its_time(self, world, buyer, seller):
        bid = world.bid(buyer, 1_000, 2 * YUAN)
        world.offer(seller, 1_000, 2 * YUAN)
        arm(world, buyer, 60)

        world.round()

        assert world.order(bid).status == "filled"
        assert CancelAfter.objects.exists()

    def test_is_put_off_by_another_call_and_turned_off_by_zero(self, world, buyer):
        bid = world.bid(buyer, 1_000, 2 * YUAN)
        arm(world, buyer, 1)

        assert arm(world, buyer, 60) == world.now + timedelta(seconds=60)
        services.sweep.sweep(now=world.now + timedelta(seconds=59))
        assert world.order(bid).is_open
        assert arm(world, buyer, 0) is None
        services.sweep.sweep(now=world.now + timedelta(seconds=61))
        assert world.order(bid).is_open

    def test_fires_with_the_sweep_while_the_market_is_halted(self, world, buyer):
        bids = [world.bid(buyer, 1_000, 2 * YUAN) for _ in range(3)]
        arm(world, buyer, 60)
        services.markets.halt(world.market_id, reason="drill", actor=buyer, now=world.now)

        assert services.sweep.sweep(now=world.now + timedelta(seconds=60)) == 3

        assert {world.order(bid).status for bid in bids} == {"cancelled"}

    def test_fires_once(self, world, buyer):
        arm(world, buyer, 1)
        world.now += timedelta(seconds=2)
        services.switches.fire_due(world.market_id, now=world.now)
        later = world.bid(buyer, 1_000, 2 * YUAN)

        assert services.switches.fire_due(world.market_id, now=world.now + timedelta(hours=1)) == 0
        assert world.order(later).is_open


class TestRequest:
    @pytest.fixture
    def buyer(self, live_world):
        return live_world.organisation("buyer", yuan=10)

    def send(self, api, body):
        return api.post(URL, body, content_type="application/json")

    def test_says_when_it_fires(self, buyer):
        before = clock.now()

        answer = self.send(client_of(buyer), {"seconds": 86_400})

        fires_at = datetime.fromisoformat(answer.json()["fires_at"])
        assert before + timedelta(days=1) <= fires_at <= clock.now() + timedelta(days=1)
        assert self.send(client_of(buyer), {"seconds": 0}).json()["fires_at"] is None
        assert not CancelAfter.objects.exists()

    @pytest.mark.parametrize("body", [{}, {"seconds": -1}, {"seconds": 86_401}, {"seconds": "5"}, {"seconds": 1.5},
                                      {"seconds": True}, {"second": 1}, []])  # fmt: skip
    def test_refuses_anything_else(self, buyer, body):
        answer = self.send(client_of(buyer), body)

        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
        assert not CancelAfter.objects.exists()

    def test_needs_the_right_to_write(self, buyer):
        assert self.send(client_of(buyer, "orders:read"), {"seconds": 5}).status_code == 403


class TestState:
    def test_is_told_over_rest_and_on_the_orders_page(self, live_world):
        from tests.market.test_pages import signed_in

        buyer = live_world.organisation("buyer", yuan=10)
        api, page = client_of(buyer), signed_in(buyer)
        assert api.get(URL).json() == {"fires_at": None, "seconds_left": None}

        told = api.post(URL, {"seconds": 600}, content_type="application/json").json()

        assert told["seconds_left"] == 600
        after = api.get(URL).json()
        assert after["fires_at"] == told["fires_at"]
        assert 590 <= after["seconds_left"] <= 600
        assert "unless your program calls again" in page.get("/orders/").content.decode()
        assert client_of(live_world.organisation("buyer")).get(URL).json()["fires_at"] is None
        api.post(URL, {"seconds": 0}, content_type="application/json")
        assert "unless your program" not in page.get("/orders/").content.decode()
