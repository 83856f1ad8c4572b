"""Many orders in one request."""

from dataclasses import replace
from uuid import uuid4

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.kernel.errors import DomainError
from ledger import selectors as ledger
from market import selectors, services
from market.kernel.errors import MarketHalted
from market.models import Order
from market.services import OrderDraft
from tests.market.test_api import body, client_of

YUAN = 10**6
URL = "/api/v1/orders/batch"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


def codes(results):
    return [one.code if isinstance(one, DomainError) else one.status for one in results]


class TestEach:
    @pytest.fixture
    def draft(self, world, buyer):
        return OrderDraft(buyer.organisation_id, "buy", world.line, world.grade, world.window, 1_000, 2 * YUAN)

    def test_is_placed_or_refused_on_its_own_and_in_order(self, world, buyer, draft):
        drafts = [
            draft, replace(draft, quantity_st=1), draft, replace(draft, limit_micros=9 * YUAN),
            replace(draft, line="nothing"), draft,
        ]  # fmt: skip

        results = services.batch.place_each(drafts, actor=buyer, now=world.now)

        assert codes(results) == ["open", "off_lot", "open", "outside_collar", "unknown_line", "open"]
        assert list(Order.objects.order_by("sequence").values_list("id", flat=True)) == [
            results[at].id for at in (0, 2, 5)
        ]

    def test_takes_what_the_wallet_still_covers(self, world, draft):
        poor = world.organisation("buyer", yuan=5)
        one = replace(draft, organisation_id=poor.organisation_id, quantity_st=1_000_000)
        drafts = [one, replace(one, quantity_st=2_000_000), one, replace(one, quantity_st=500_000)]

        results = services.batch.place_each(drafts, actor=poor, now=world.now)

        assert codes(results) == ["open", "insufficient_funds", "open", "open"]
        assert ledger.wallet(poor.organisation_id, "CNY").available_micros == 0

    def test_of_many_slips_is_told_without_trying_each(self, world, buyer, draft, django_assert_max_num_queries):
        slips = [
            replace(draft, quantity_st=1), replace(draft, limit_micros=9 * YUAN), replace(draft, line="nothing"),
            replace(draft, quantity_st=10**12), draft,
        ]  # fmt: skip

        with django_assert_max_num_queries(120):
            results = services.batch.place_each(slips * 20, actor=buyer, now=world.now)

        assert codes(results) == ["off_lot", "outside_collar", "unknown_line", "insufficient_funds", "open"] * 20

    def test_not_reached_in_time_says_so(self, world, buyer, draft, monkeypatch):
        monkeypatch.setattr(services.batch, "SECONDS", -1.0)

        results = services.batch.place_each([draft, replace(draft, quantity_st=1)], actor=buyer, now=world.now)

        assert codes(results) == ["not_tried", "off_lot"]
        assert not Order.objects.exists()

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.sampled_from(["both", "buyer"]),
        st.lists(
            st.tuples(st.integers(1, 9), st.sampled_from([150, 180, 200, 250]), st.sampled_from("abc-")), max_size=9
        ),
    )
    def test_comes_out_as_if_it_came_alone(self, world, kind, orders):
        both = world.organisation(kind, yuan=8)
        if kind == "both":
            world.offer(both, 1_000, 2 * YUAN)
        drafts = [
            OrderDraft(
                both.organisation_id, "buy", world.line, world.grade, world.window, lots * 500_500, ticks * 10_000,
                client_order_id=None if name == "-" else name,
            )
            for lots, ticks, name in orders
        ]  # fmt: skip

        with transaction.atomic():
            alone = [self._alone(draft, both, world) for draft in drafts]
            transaction.set_rollback(True)

        assert codes(services.batch.place_each(drafts, actor=both, now=world.now)) == codes(alone)

    def _alone(self, draft, actor, world):
        try:
            return services.orders.place(draft, actor=actor, now=world.now)
        except DomainError as error:
            return error

    def test_repeats_a_client_order_id_as_single_orders_would(self, world, buyer, draft):
        mine = replace(draft, client_order_id="mine")

        results = services.batch.place_each([mine, mine, replace(mine, quantity_st=2_000)], actor=buyer, now=world.now)

        assert results[0].id == results[1].id
        assert codes(results) == ["open", "open", "duplicate_client_order_id"]

    def test_of_a_halted_market_is_refused_as_a_whole(self, world, buyer, draft):
        services.markets.halt(world.market_id, reason="drill", actor=buyer, now=world.now)

        with pytest.raises(MarketHalted):
            services.batch.place_each([draft, draft], actor=buyer, now=world.now)


class TestRequest:
    @pytest.fixture
    def api(self, live_world):
        return client_of(live_world.organisation("buyer", yuan=1_000))

    def send(self, api, orders, *, key=None):
        return api.post(
            URL, {"orders": orders}, content_type="application/json", headers={"idempotency-key": key or uuid4().hex}
        )

    def test_answers_each_order_as_if_it_came_alone(self, api, live_world):
        good, off_lot = body(live_world), body(live_world, quantity_st="1500")
        answer = self.send(api, [good, off_lot, {"side": "buy"}, 7, body(live_world, side="sell"), good])

        assert answer.status_code == 200
        found = answer.json()
        assert (found["placed"], found["refused"]) == (2, 4)
        assert [one["status"] for one in found["results"]] == [201, 422, 400, 400, 400, 201]
        problems = [one["problem"]["code"] for one in found["results"] if one["problem"]]
        assert problems == ["off_lot", "invalid", "invalid", "not_supported"]
        first = found["results"][0]["order"]
        assert api.get(f"/api/v1/orders/{first['id']}").json() == first

    def test_twice_with_one_key_places_once(self, api, live_world):
        orders = [body(live_world), body(live_world, quantity_st="1500")]

        first, again = (self.send(api, orders, key="k") for _ in range(2))

        assert first.json() == again.json()
        assert again["Idempotency-Replayed"] == "true"
        assert Order.objects.count() == 1

    def test_takes_a_thousand_orders_and_not_one_more(self, api, live_world):
        orders = [body(live_world, quantity_st="1000")] * 1_000

        refused, taken = self.send(api, [*orders, orders[0]]), self.send(api, orders)

        assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json")
        assert taken.json()["placed"] == Order.objects.count() == 1_000

    @pytest.mark.parametrize("orders", [{}, "orders", None, [], 1])
    def test_needs_a_list(self, api, orders):
        answer = self.send(api, orders)

        assert answer.status_code == 400
        assert not Order.objects.exists()

    def test_needs_a_key_and_the_right_to_write(self, api, live_world):
        without = api.post(URL, {"orders": [body(live_world)]}, content_type="application/json")
        reader = client_of(live_world.organisation("buyer", yuan=1_000), "orders:read")

        assert (without.status_code, without.json()["code"]) == (400, "idempotency_key_missing")
        assert self.send(reader, [body(live_world)]).status_code == 403
        assert not Order.objects.exists()
        assert selectors.the_market().round_number == 0
