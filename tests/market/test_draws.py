import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection

from market import selectors, services
from market.kernel.errors import NoAllocation, NotFound, TooFast
from market.models import AllocationUse, Reservation
from market.services.draws import DrawItem

MICRO = 10**6
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


@pytest.fixture
def bought(world, buyer, seller):
    """2,000 ST of one deployment in the first round, 3,000 of another in the second; the window is open."""
    for quantity in (2_000, 3_000):
        world.bid(buyer, quantity, 2_000_000)
        world.offer(seller, quantity, 2_000_000)
        world.round()
    world.now = world.window + timedelta(minutes=5)
    return world


def reserve(world, buyer, micro_st, **changes):
    values = {"organisation_id": buyer.organisation_id, "line": world.line, "request_id": uuid4().hex,
              "micro_st": micro_st, "now": world.now}  # fmt: skip
    return services.draws.reserve(**{**values, **changes})


class TestReserve:
    def test_takes_the_oldest_round_first(self, bought, buyer):
        reserved = reserve(bought, buyer, 1_000 * MICRO)

        oldest = min(selectors.allocations(buyer), key=lambda one: one.round_number)
        assert [(part.allocation_id, part.micro_st) for part in reserved.parts] == [(oldest.id, 1_000 * MICRO)]

    def test_goes_to_the_next_deployment_when_the_first_does_not_cover_all(self, bought, buyer):
        reserved = reserve(bought, buyer, 2_500 * MICRO)

        newest = max(selectors.allocations(buyer), key=lambda one: one.round_number)
        assert {part.deployment_id for part in reserved.parts} == {newest.deployment_id}

    def test_refuses_what_no_deployment_covers(self, bought, buyer):
        with pytest.raises(NoAllocation):
            reserve(bought, buyer, 3_001 * MICRO)
        assert not Reservation.objects.exists()

    def test_leaves_out_what_is_to_be_avoided(self, bought, buyer):
        first = reserve(bought, buyer, 1_000 * MICRO).parts[0].deployment_id

        assert reserve(bought, buyer, 1_000 * MICRO, avoid=[first]).parts[0].deployment_id != first

    def test_refuses_outside_of_the_window(self, bought, buyer):
        with pytest.raises(NoAllocation):
            reserve(bought, buyer, MICRO, now=bought.window + timedelta(hours=1))
        with pytest.raises(NoAllocation):
            reserve(bought, buyer, MICRO, now=bought.window - timedelta(seconds=1))

    def test_refuses_another_buyer_and_another_line(self, bought, buyer):
        with pytest.raises(NoAllocation):
            reserve(bought, bought.organisation("buyer"), MICRO)
        with pytest.raises(NoAllocation):
            reserve(bought, buyer, MICRO, line="llama-2-7b")

    def test_of_the_same_request_is_the_same(self, bought, buyer):
        first = reserve(bought, buyer, MICRO, request_id="one")

        assert reserve(bought, buyer, MICRO, request_id="one") == first
        assert AllocationUse.objects.get(reserved_micro_st__gt=0).reserved_micro_st == MICRO


class TestSettle:
    def test_draws_what_was_used_and_gives_the_rest_back(self, bought, buyer):
        reserved = reserve(bought, buyer, 1_000 * MICRO)

        parts = services.draws.settle(reserved.id, used_micro_st=123, now=bought.now)

        (use,) = AllocationUse.objects.filter(drawn_micro_st__gt=0)
        assert (use.drawn_micro_st, use.reserved_micro_st) == (123, 0)
        assert [(part.allocation_id, part.micro_st) for part in parts] == [(use.allocation_id, 123)]

    def test_twice_counts_once(self, bought, buyer):
        reserved = reserve(bought, buyer, 1_000 * MICRO)

        first = services.draws.settle(reserved.id, used_micro_st=123, now=bought.now)
        again = services.draws.settle(reserved.id, used_micro_st=456, now=bought.now)
        services.draws.release(reserved.id, now=bought.now)

        assert first == again
        assert sum(use.drawn_micro_st for use in AllocationUse.objects.all()) == 123

    def test_of_nothing_known_is_refused(self, bought):
        with pytest.raises(NotFound):
            services.draws.settle(uuid4(), used_micro_st=1, now=bought.now)

    def test_a_dead_request_gives_its_reservation_back(self, bought, buyer):
        reserve(bought, buyer, 1_000 * MICRO)

        assert services.draws.release_expired(now=bought.now) == 0
        assert services.draws.release_expired(now=bought.now + services.draws.RESERVATION_LIFE) == 1
        assert not AllocationUse.objects.filter(reserved_micro_st__gt=0).exists()


class TestDrawMany:
    def test_goes_over_allocations_in_order_and_stops_at_their_end(self, bought, buyer):
        product = selectors.product_at(bought.line, bought.grade, bought.window)
        items = [DrawItem(buyer.organisation_id, product.id, f"r{n}", 900 * MICRO) for n in range(5)]

        parts = services.draws.draw_many(items, now=bought.now)

        assert [sum(part.micro_st for part in one) for one in parts] == [900 * MICRO] * 5
        assert [len(one) for one in parts] == [1, 1, 2, 1, 1]
        with pytest.raises(NoAllocation):
            services.draws.draw_many([DrawItem(buyer.organisation_id, product.id, "x", 501 * MICRO)], now=bought.now)
        assert sum(use.drawn_micro_st for use in AllocationUse.objects.all()) == 4_500 * MICRO


class TestPace:
    """120,000 ST bought ahead of one deployment: 1.5 times even is 3,000 ST in any minute."""

    @pytest.fixture
    def rated(self, world, buyer, seller):
        world.bid(buyer, 120_000, 2_000_000)
        world.offer(seller, 120_000, 2_000_000)
        world.round()
        world.now = world.window + timedelta(minutes=5)
        return world

    def test_lets_a_minutes_share_through_and_then_says_when(self, rated, buyer):
        reserve(rated, buyer, 2_000 * MICRO)
        reserve(rated, buyer, 1_000 * MICRO, now=rated.now + timedelta(seconds=10))

        with pytest.raises(TooFast) as refused:
            reserve(rated, buyer, 500 * MICRO, now=rated.now + timedelta(seconds=20))

        assert (refused.value.code, refused.value.status) == ("too_fast", 429)
        assert refused.value.details["retry_after"] == 40
        reserve(rated, buyer, 500 * MICRO, now=rated.now + timedelta(seconds=60))

    def test_counts_what_was_used_and_not_what_was_given_back(self, rated, buyer):
        first = reserve(rated, buyer, 3_000 * MICRO)
        services.draws.settle(first.id, used_micro_st=100 * MICRO, now=rated.now)
        second = reserve(rated, buyer, 2_900 * MICRO)
        services.draws.release(second.id, now=rated.now)

        reserve(rated, buyer, 2_900 * MICRO)
        with pytest.raises(TooFast):
            reserve(rated, buyer, 1)

    def test_takes_what_was_left_of_a_running_hour_as_its_length(self, world, buyer, seller):
        world.now = world.window + timedelta(minutes=59)
        world.bid(buyer, 1_000, 2_000_000)
        world.offer(seller, 1_000, 2_000_000)
        services.rounds.clear(world.market_id, now=world.now)
        (view,) = selectors.drawable(buyer.organisation_id, world.line, now=world.now)
        assert services.pacing.pace_of([view]).minute_micro_st == 1_500 * MICRO

        reserve(world, buyer, 1_000 * MICRO)

    def test_lets_so_many_streams_run_as_have_their_speed(self, world, buyer, seller):
        world.bid(buyer, 2_000, 2_000_000)
        world.offer(seller, 2_000, 2_000_000)
        world.round()
        world.now = world.window + timedelta(minutes=5)
        views = selectors.drawable(buyer.organisation_id, world.line, now=world.now)
        assert services.pacing.pace_of(views).streams == 1
        first = reserve(world, buyer, MICRO)

        with pytest.raises(TooFast):
            reserve(world, buyer, MICRO)
        services.draws.settle(first.id, used_micro_st=MICRO, now=world.now)
        reserve(world, buyer, MICRO)

    def test_is_looked_at_in_less_than_3_ms_after_a_minute_of_100_requests_a_second(self, rated, buyer):
        (one,) = selectors.drawable(buyer.organisation_id, rated.line, now=rated.now)
        with connection.cursor() as cursor:
            cursor.execute(
                "WITH r AS (INSERT INTO market_reservation (id, request_id, organisation_id, state, expires_at, created_at) "
                "SELECT gen_random_uuid(), n::text, %s, 'settled', %s, %s FROM generate_series(1, 20000) n RETURNING id) "
                "INSERT INTO market_reservationpart (reservation_id, allocation_id, position, micro_st, used_micro_st, at, "
                "counted_micro_st, running) SELECT id, %s, 0, 1, 1, %s - row_number() OVER () * interval '10 ms', 1, false FROM r",
                [buyer.organisation_id, rated.now, rated.now, one.id, rated.now],
            )
            cursor.execute("ANALYZE market_reservationpart")

        def spent():
            began = time.perf_counter()
            assert services.pacing.wait([one], MICRO, now=rated.now) is None
            return time.perf_counter() - began

        assert min(spent() for _ in range(9)) < 0.003
