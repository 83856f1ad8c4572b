"""Trades, bars and the index over REST."""

from datetime import datetime, timedelta

import pytest

from accounts.kernel import ids
from accounts.selectors import clock
from market import selectors, services
from market.models import ModelLine
from tests.market.conftest import NOW
from tests.market.test_api import client_of

SECOND = timedelta(seconds=1)
pytestmark = pytest.mark.django_db


@pytest.fixture
def buyer(request):
    """Of the world that the test acts in."""
    name = "world" if "world" in request.fixturenames else "live_world"
    return request.getfixturevalue(name).organisation("buyer", yuan=1_000)


@pytest.fixture
def api(buyer):
    return client_of(buyer, "market:read")


def trade(world, buyer, price, quantity):
    world.offer(world.organisation("provider"), quantity, price)
    world.bid(buyer, quantity, price)
    world.round()


@pytest.fixture
def traded(live_world, buyer):
    """Three rounds of one product, at 1.80, 1.90 and 1.70; then one of the following hour's."""
    for price, quantity in ((1_800_000, 1_000), (1_900_000, 2_000), (1_700_000, 1_000)):
        trade(live_world, buyer, price, quantity)
    product = selectors.product_at(live_world.line, live_world.grade, live_world.window)
    live_world.window += timedelta(hours=1)
    trade(live_world, buyer, 2_000_000, 4_000)
    return product


def path(product, what):
    return f"/api/v1/products/{ids.encode('prd', product.id)}/{what}"


def spans(world):
    """The span of all rounds, whatever the test's own clock says of them."""
    return {"since": (clock.now() - timedelta(hours=1)).isoformat(), "until": world.now.isoformat()}


class TestTrades:
    def test_are_the_rounds_that_traded_newest_first_by_cursor(self, api, traded):
        first = api.get(path(traded, "trades"), {"limit": 2}).json()
        rest = api.get(path(traded, "trades"), {"limit": 2, "cursor": first["next"]}).json()

        assert [(one["round"], one["price_per_million"], one["volume_st"]) for one in first["data"] + rest["data"]] == [
            ("3", "1.70", "1000"), ("2", "1.90", "2000"), ("1", "1.80", "1000"),
        ]  # fmt: skip
        assert rest["next"] is None
        assert (
            datetime.fromisoformat(first["data"][0]["at"]) == selectors.round(3, market_id=traded.market_id).closed_at
        )

    def test_leave_rounds_without_volume_out(self, api, live_world, buyer, traded):
        live_world.window -= timedelta(hours=1)
        live_world.bid(buyer, 1_000, 1_600_000)
        live_world.offer(live_world.organisation("provider"), 1_000, 1_700_000)
        live_world.round()

        assert len(api.get(path(traded, "trades")).json()["data"]) == 3


class TestBars:
    def test_hold_all_that_a_product_traded(self, api, live_world, traded):
        found = api.get(path(traded, "bars"), {"interval": "1d", **spans(live_world)}).json()["data"]

        assert sum(int(one["volume_st"]) for one in found) == 4_000
        assert (found[0]["open"], found[-1]["close"]) == ("1.80", "1.70")

    def test_draw_rounds_together_and_leave_empty_intervals_out(self, world, buyer):
        for price, seconds in ((1_800_000, 10), (1_900_000, 10), (1_700_000, 180)):
            world.offer(world.organisation("provider"), 1_000, price)
            world.bid(buyer, 1_000, price)
            world.now += timedelta(seconds=seconds)
            services.rounds.clear(world.market_id, now=world.now)
        product = selectors.product_at(world.line, world.grade, world.window)

        first, second = selectors.bars(
            product.id, interval=timedelta(minutes=1), since=world.now - timedelta(hours=1), until=world.now + SECOND
        )

        assert (first.open_micros, first.high_micros, first.low_micros) == (1_800_000, 1_900_000, 1_800_000)
        assert (first.close_micros, first.average_micros, first.volume_st) == (1_900_000, 1_850_000, 2_000)
        assert second.start - first.start == timedelta(minutes=3)

    @pytest.mark.parametrize(
        "changes",
        [
            {}, {"interval": "2m"}, {"interval": ""}, {"interval": "1m", "since": "yesterday"},
            {"interval": "1m", "since": "2026-11-24T15:00:00"}, {"interval": "1m", "untill": "2026-11-24T15:00:00Z"},
            {"interval": "1m", "since": "2026-11-24T15:00:00Z", "until": "2026-11-24T14:00:00Z"},
            {"interval": "1m", "since": "2020-11-24T15:00:00Z", "until": "2026-11-24T14:00:00Z"},
            {"interval": "1d", "since": "0001-01-01T00:00:00Z"}, {"interval": "1d", "until": "9999-12-31T23:59:59Z"},
        ],
    )  # fmt: skip
    def test_refuse_a_span_or_interval_that_is_none(self, api, traded, changes):
        answer = api.get(path(traded, "bars"), changes)

        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")


class TestIndex:
    def test_weighs_all_windows_of_the_grade(self, api, live_world, traded):
        url = f"/api/v1/lines/{live_world.line}/index"

        found = api.get(url, {"grade": live_world.grade, **spans(live_world)}).json()["data"]

        assert sum(int(one["volume_st"]) for one in found) == 8_000
        assert api.get(url, {"grade": "batch", **spans(live_world)}).json() == {"data": []}

    def test_is_weighted_by_volume_over_windows_that_trade_at_once(self, world, buyer):
        trade(world, buyer, 1_800_000, 3_000)
        world.window += timedelta(hours=1)
        trade(world, buyer, 2_000_000, 1_000)
        line = selectors.line(world.line)

        (point,) = selectors.index(
            world.market_id, line.id, world.grade, since=world.now - timedelta(hours=1), until=world.now + SECOND
        )

        assert (point.start, point.price_micros, point.volume_st) == (
            NOW.replace(second=0), 1_850_000, 4_000,
        )  # fmt: skip

    def test_needs_a_grade_that_is_traded(self, api, live_world):
        url = f"/api/v1/lines/{live_world.line}/index"

        assert api.get(url).status_code == 400
        assert (api.get(url, {"grade": "gold"}).status_code, api.get("/api/v1/lines/no/index").status_code) == (
            422,
            404,
        )


class TestRights:
    def test_what_is_private_is_not_found(self, api, live_world, traded):
        owner = live_world.organisation("buyer")
        ModelLine.objects.filter(slug=live_world.line).update(owner_id=owner.organisation_id)
        asked = {"interval": "1m", "grade": live_world.grade}

        for url in (path(traded, "trades"), path(traded, "bars"), f"/api/v1/lines/{live_world.line}/index"):
            assert api.get(url, asked).status_code == 404
        assert client_of(owner, "market:read").get(path(traded, "trades")).status_code == 200
        for url in ("/api/v1/products/prd_x/trades", "/api/v1/products/prd_x/bars"):
            assert api.get(url).status_code == 404

    def test_data_need_the_right_to_read(self, buyer, traded):
        assert client_of(buyer, "orders:read").get(path(traded, "trades")).status_code == 403
