"""What an offer meets: the open book of a window, and the rounds of the last seven days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection

from market import selectors as market
from providers import selectors, services
from providers.kernel.drafts import PlanDraft
from providers.kernel.outlook import Replay, Traded
from providers.kernel.schedule import Once, Schedule, Weekly
from tests.providers.scene import LINE, Scene, build

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 9, 20, tzinfo=UTC)  # Tuesday 17:20 on the market clock
NEXT = datetime(2026, 11, 24, 10, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVERY_DAY = frozenset(range(7))
EVENINGS = Weekly(EVERY_DAY, 18, 20)


@pytest.fixture
def scene() -> Scene:
    return build(now=NOW, yuan=10_000)


@pytest.fixture
def deployment(scene: Scene) -> UUID:
    return scene.deployment(scene.pool(now=NOW), now=NOW)


def plan(deployment: UUID, schedule: Schedule = EVENINGS, **more) -> PlanDraft:
    values = {"grade": "interactive", "discount_bps": 3_500, "floor_micros": 1_000_000, **more}
    return PlanDraft(deployment_id=deployment, schedule=schedule, **values)


def trade(scene: Scene, deployment: UUID, start: datetime, quantity_st: int, *, now: datetime) -> int:
    """Sell in one window; gives the price, which the collar around the list price decides."""
    plan_id = services.offers.create(plan(deployment, Once(start)), actor=scene.provider, now=now)
    services.offers.post(plan_id, actor=scene.provider, now=now)
    scene.buy(start, quantity_st, 3_000_000, now=now)
    scene.clear(now=now + timedelta(seconds=6))
    product = market.product_at(LINE, "interactive", start)
    assert product is not None
    return market.trades(product.id)[0].price_micros


class TestBook:
    def test_puts_the_offer_behind_what_is_as_cheap(self, scene: Scene, deployment) -> None:
        other = scene.deployment(scene.pool("Harbour 2", now=NOW), now=NOW, rate=500)
        standing = services.offers.create(plan(other, Once(NEXT)), actor=scene.provider, now=NOW)
        services.offers.post(standing, actor=scene.provider, now=NOW)
        scene.buy(NEXT, 900_000, 2_000_000, now=NOW)

        seen = services.outlook.look(plan(deployment), actor=scene.provider, now=NOW)

        assert seen.book is not None
        assert seen.book.window.start == NEXT
        assert seen.book.demand == [(2_000_000, 900_000)]
        assert seen.book.own.supply == ((2_160_000, 1_800_000), (2_160_000, 5_400_000))
        assert (seen.book.own.wanted_st, seen.book.last_price_micros) == (0, None)

    def test_is_that_of_the_window_asked_for(self, scene: Scene, deployment) -> None:
        later = NEXT + DAY

        seen = services.outlook.look(plan(deployment), over=later.isoformat(), actor=scene.provider, now=NOW)

        assert seen.book is not None and seen.book.window.start == later

    def test_a_window_that_is_not_covered_is_passed_over(self, scene: Scene, deployment) -> None:
        for over in ("nonsense", (NOW + 3 * DAY).isoformat(), NOW.isoformat()):
            seen = services.outlook.look(plan(deployment), over=over, actor=scene.provider, now=NOW)
            assert seen.book is not None and seen.book.window.start == NEXT

    def test_is_shown_without_a_step_where_nothing_is_left_to_offer(self, scene: Scene, deployment) -> None:
        plan_id = services.offers.create(plan(deployment), actor=scene.provider, now=NOW)
        services.offers.post(plan_id, actor=scene.provider, now=NOW)

        seen = services.outlook.look(plan(deployment), actor=scene.provider, now=NOW)

        assert seen.book is not None and seen.book.own.supply == ((2_160_000, 3_600_000),)
        assert seen.book.own.from_st == seen.book.own.to_st

    def test_there_is_none_where_no_open_window_is_covered(self, scene: Scene, deployment) -> None:
        sundays = plan(deployment, Weekly(frozenset({6}), 1, 4))

        assert services.outlook.look(sundays, actor=scene.provider, now=NOW).book is None


class TestReplay:
    def test_counts_the_hours_and_the_tokens_that_traded_at_its_limit(self, scene: Scene, deployment) -> None:
        price = trade(scene, deployment, NEXT, 900_000, now=NOW)
        trade(scene, deployment, NEXT + 5 * HOUR, 500_000, now=NOW + timedelta(seconds=10))  # 23:00: not covered
        after = NOW + timedelta(minutes=1)

        same, dearer = (
            services.outlook.replay(plan(deployment, floor_micros=floor), actor=scene.provider, now=after)
            for floor in (price, price + 10_000)
        )

        # Two hours of the seven days past and of the two ahead; one of them traded.
        assert same == Replay(18, 1, 1, offered_st=3_600_000, most_st=900_000, most_micros=900_000 * price // 10**6)
        assert (dearer.priced_hours, dearer.reached_hours, dearer.most_st) == (1, 0, 0)

    def test_offers_no_more_than_its_share_of_an_hour(self, scene: Scene, deployment) -> None:
        trade(scene, deployment, NEXT, 900_000, now=NOW)

        found = services.outlook.replay(
            plan(deployment, share_bps=1_000), actor=scene.provider, now=NOW + timedelta(minutes=1)
        )

        assert (found.offered_st, found.most_st) == (360_000, 360_000)

    def test_a_window_older_than_the_list_price_takes_the_first_one(self, scene: Scene, deployment) -> None:
        trade(scene, deployment, NEXT, 900_000, now=NOW)
        after = NOW + timedelta(minutes=1)
        dates = connection.cursor()
        dates.execute("UPDATE market_listprice SET valid_from = %s, price_micros = %s", [NOW.date(), 10**9])

        found = services.outlook.replay(plan(deployment, discount_bps=0), actor=scene.provider, now=after)

        assert (found.priced_hours, found.reached_hours) == (1, 0)  # not at the floor of 1.00

    def test_forgets_rounds_after_seven_days(self, scene: Scene, deployment) -> None:
        trade(scene, deployment, NEXT, 900_000, now=NOW)

        ages = [timedelta(days=6, hours=23), timedelta(days=7, minutes=1)]

        found = [services.outlook.replay(plan(deployment), actor=scene.provider, now=NOW + age) for age in ages]
        assert [one.most_st for one in found] == [900_000, 0]

    def test_takes_the_same_hour_of_every_day_for_a_single_window(self, scene: Scene, deployment) -> None:
        trade(scene, deployment, NEXT, 900_000, now=NOW)

        found = services.outlook.replay(
            plan(deployment, Once(NEXT + DAY)), actor=scene.provider, now=NOW + timedelta(minutes=1)
        )

        assert (found.hours, found.reached_hours) == (9, 1)

    def test_knows_its_own_line_and_grade_only(self, scene: Scene, deployment) -> None:
        price = trade(scene, deployment, NEXT, 900_000, now=NOW)
        after = NOW + timedelta(minutes=1)

        batch = services.outlook.replay(plan(deployment, grade="batch"), actor=scene.provider, now=after)

        assert batch.priced_hours == 0
        week = {"since": after - 7 * DAY, "until": after}
        assert selectors.traded(LINE, "interactive", [NEXT], **week) == [Traded(NEXT, price, 900_000)]
        assert selectors.traded(LINE, "interactive", [NEXT + HOUR], **week) == []
        assert selectors.traded(LINE, "batch", [NEXT], **week) == []
