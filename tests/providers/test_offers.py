"""Offer plans become sell orders, never beyond the rated capacity."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.kernel.actor import Actor
from accounts.selectors import actors
from accounts.services import organisations
from market import selectors as market
from market import services as trading
from providers import selectors, services
from providers.kernel.days import KNOWN_TO, day_of
from providers.kernel.drafts import DeploymentDraft, PlanDraft, PoolDraft
from providers.kernel.errors import BadValue, Forbidden, NameTaken, NotFound, PrivateEndpoint, WorseFormat, WrongState
from providers.kernel.schedule import Calendar, Hours, Once, Weekly
from providers.models import OfferPlan
from tests.providers.scene import LINE, POOL, Scene, build

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 9, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEXT = datetime(2026, 11, 24, 10, tzinfo=UTC)
ALWAYS = Weekly(frozenset(range(7)), 0, 24)
NIGHT = Weekly(frozenset(range(7)), 1, 7)


@pytest.fixture
def scene() -> Scene:
    return build(now=NOW)


@pytest.fixture
def deployment(scene: Scene):
    return scene.deployment(scene.pool(now=NOW), now=NOW)


def plan(deployment, schedule=NIGHT, **more) -> PlanDraft:
    values = {"grade": "interactive", "discount_bps": 3_500, "floor_micros": 1_000_000, **more}
    return PlanDraft(deployment_id=deployment, schedule=schedule, **values)


def posted(scene: Scene, draft: PlanDraft, now: datetime = NOW):
    plan_id = services.offers.create(draft, actor=scene.provider, now=now)
    services.offers.post(plan_id, actor=scene.provider, now=now)
    return selectors.plan(plan_id, scene.provider, now=now)


class TestCalendarPlans:
    def test_post_the_hours_of_each_kind_of_day(self, scene: Scene, deployment) -> None:
        friday = datetime(2026, 11, 27, 9, 20, tzinfo=UTC)  # the next 48 hours hold a Saturday and most of a Sunday

        offer = posted(scene, plan(deployment, Calendar(Hours(18, 20), Hours(1, 4))), now=friday)

        local = [one.window_start.astimezone(market_clock()) for one in offer.posted]
        assert [(one.weekday(), one.hour) for one in local] == [
            (4, 18), (4, 19), (5, 1), (5, 2), (5, 3), (6, 1), (6, 2), (6, 3),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "schedule",
        [Calendar(Hours(1, 7), Hours(0, 24)), Calendar(None, Hours(22, 6)), Calendar(Hours(0, 1), None)],
    )
    def test_are_read_back_as_written(self, scene: Scene, deployment, schedule: Calendar) -> None:
        plan_id = services.offers.create(plan(deployment, schedule), actor=scene.provider, now=NOW)

        assert selectors.plan(plan_id, scene.provider, now=NOW).schedule == schedule

    @pytest.mark.parametrize(
        "schedule",
        [Calendar(None, None), Calendar(Hours(5, 5), None), Calendar(None, Hours(24, 3)), Calendar(Hours(3, 25), None)],
    )
    def test_are_refused_without_hours(self, scene: Scene, deployment, schedule: Calendar) -> None:
        with pytest.raises(BadValue):
            services.offers.create(plan(deployment, schedule), actor=scene.provider, now=NOW)

    @pytest.mark.parametrize(
        "hours",
        [{}, {"workday_from_hour": 3}, {"workday_to_hour": 3}, {"workday_from_hour": 3, "workday_to_hour": 3},
         {"restday_from_hour": 24, "restday_to_hour": 3}, {"restday_from_hour": 1, "restday_to_hour": 3, "weekdays": 1}],
    )  # fmt: skip
    def test_the_database_refuses_half_a_calendar(self, scene: Scene, deployment, hours) -> None:
        plan_id = services.offers.create(plan(deployment), actor=scene.provider, now=NOW)
        nothing = dict.fromkeys(("weekdays", "from_hour", "to_hour"))

        with pytest.raises(IntegrityError, match="providers_plan_names_windows"), transaction.atomic():
            OfferPlan.objects.filter(id=plan_id).update(kind="calendar", **(nothing | hours))

    def test_the_preview_names_the_days_and_says_what_is_not_published(self, scene: Scene, deployment) -> None:
        new_year = datetime(KNOWN_TO, 12, 31, 9, 20, tzinfo=UTC)
        draft = plan(deployment, Calendar(Hours(0, 24), Hours(0, 24)))

        found = services.offers.preview(draft, actor=scene.provider, now=new_year)

        for one in found.windows:
            day = one.start.astimezone(market_clock()).date()
            assert one.day == day_of(day)
            assert one.day.published == (day.year == KNOWN_TO)
        assert {one.day.published for one in found.windows} == {True, False}


class TestPosting:
    def test_makes_one_sell_order_for_each_covered_open_window(self, scene: Scene, deployment) -> None:
        offer = posted(scene, plan(deployment))

        orders = market.orders(scene.provider, open_only=True, limit=100)
        assert len(offer.posted) == len(orders) == 12  # two nights of six hours in the next 48
        assert {order.window_start.astimezone(market_clock()).hour for order in orders} == {1, 2, 3, 4, 5, 6}
        assert {order.limit_micros for order in orders} == {2_160_000}  # 3.33 × 0.65, down to the tick
        assert {order.quantity_st for order in orders} == {3_600_000}

    def test_a_second_run_posts_nothing_more(self, scene: Scene, deployment) -> None:
        posted(scene, plan(deployment))

        assert services.offers.post_due(now=NOW) == 0

    def test_posts_the_next_window_once_it_opens(self, scene: Scene, deployment) -> None:
        posted(scene, plan(deployment, ALWAYS))

        assert services.offers.post_due(now=NOW) == 0
        assert services.offers.post_due(now=NOW + HOUR) == 1

    def test_sells_of_the_running_window_only_what_is_still_ahead(self, scene: Scene, deployment) -> None:
        offer = posted(scene, plan(deployment, Once(NOW.replace(minute=0))))

        assert [one.quantity_st for one in offer.posted] == [40 * 60 * 1_000]

    def test_keeps_to_the_floor(self, scene: Scene, deployment) -> None:
        offer = posted(scene, plan(deployment, floor_micros=3_000_000))

        assert {one.limit_micros for one in offer.posted} == {3_000_000}

    def test_asks_the_floor_where_there_is_no_list_price(self, scene: Scene, deployment) -> None:
        offer = posted(scene, plan(deployment, grade="batch"))

        assert {(one.limit_micros, one.list_price_micros) for one in offer.posted} == {(1_000_000, None)}

    def test_keeps_its_limit_when_the_list_price_changes(self, scene: Scene, deployment) -> None:
        offer = posted(scene, plan(deployment, ALWAYS))
        trading.catalogue.set_list_price(
            line=LINE,
            grade="interactive",
            price_micros=1_000_000,
            valid_from=NOW.date() + timedelta(days=1),
            source="x",
        )

        services.offers.post_due(now=NOW + timedelta(days=1))

        after = selectors.plan(offer.id, scene.provider, now=NOW + timedelta(days=1))
        assert {one.limit_micros for one in after.posted[:49]} == {2_160_000}
        assert after.posted[-1].limit_micros == 1_000_000  # opened after the change, and the floor holds it

    def test_notes_what_the_market_refuses_and_posts_it_later(self, scene: Scene, deployment) -> None:
        trading.markets.halt(scene.market_id, reason="test", actor=scene.operator, now=NOW)
        offer = posted(scene, plan(deployment))
        assert (offer.problem, offer.posted) == ("market_halted", ())

        trading.markets.resume(scene.market_id, actor=scene.operator, now=NOW)

        assert services.offers.post_due(now=NOW) == 12
        assert selectors.plan(offer.id, scene.provider, now=NOW).problem == ""

    def test_tells_its_sold_share_after_a_round(self, scene: Scene, deployment) -> None:
        offer = posted(scene, plan(deployment, Once(NEXT)))
        scene.buy(NEXT, 900_000, 3_000_000, now=NOW)

        scene.clear(now=NOW + timedelta(seconds=6))

        after = selectors.plan(offer.id, scene.provider, now=NOW)
        assert (after.offered_st, after.sold_st) == (3_600_000, 900_000)


class TestCapacity:
    def test_a_second_offer_gets_what_the_first_left(self, scene: Scene, deployment) -> None:
        posted(scene, plan(deployment, Once(NEXT), share_bps=7_000))

        second = posted(scene, plan(deployment, Once(NEXT), grade="batch", share_bps=5_000))

        assert [one.quantity_st for one in second.posted] == [300 * 3_600]

    def test_a_third_offer_gets_nothing_and_says_so(self, scene: Scene, deployment) -> None:
        posted(scene, plan(deployment, Once(NEXT)))

        third = posted(scene, plan(deployment, Once(NEXT)))

        assert (third.posted, third.problem) == ((), "no_capacity")

    def test_sells_only_the_declared_share(self, scene: Scene) -> None:
        deployment = scene.deployment(scene.pool(now=NOW), now=NOW, share_bps=2_500)

        assert [one.quantity_st for one in posted(scene, plan(deployment, Once(NEXT))).posted] == [250 * 3_600]

    def test_a_withdrawn_offer_gives_back_what_it_did_not_sell(self, scene: Scene, deployment) -> None:
        first = posted(scene, plan(deployment, Once(NEXT)))
        scene.buy(NEXT, 1_800_000, 3_000_000, now=NOW)
        scene.clear(now=NOW + timedelta(seconds=6))
        services.offers.withdraw(first.id, actor=scene.provider, now=NOW)

        second = posted(scene, plan(deployment, Once(NEXT)))

        assert [one.quantity_st for one in second.posted] == [1_800_000]

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(st.integers(1, 10_000), st.sampled_from(["realtime", "interactive", "batch"]), st.booleans()),
            min_size=1,
            max_size=5,
        )
    )
    def test_is_never_passed_however_offers_overlap(self, scene: Scene, plans: list[tuple[int, str, bool]]) -> None:
        number = len(selectors.pools_of(scene.provider))
        deployment = scene.deployment(scene.pool(f"Pool {number}", now=NOW), now=NOW, rate=997)
        for share, grade, withdrawn in plans:
            offer = posted(scene, plan(deployment, Once(NEXT), share_bps=share, grade=grade))
            if withdrawn:
                services.offers.withdraw(offer.id, actor=scene.provider, now=NOW)

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT coalesce(sum(b.quantity_left_st), 0) FROM market_book b JOIN market_supply s ON s.id = b.supply_id "
                "WHERE s.deployment_id = %s",
                [deployment],
            )
            assert cursor.fetchone()[0] <= 997 * 3_600


class TestStates:
    def test_a_draft_posts_nothing(self, scene: Scene, deployment) -> None:
        services.offers.create(plan(deployment), actor=scene.provider, now=NOW)

        assert services.offers.post_due(now=NOW) == 0

    def test_pausing_empties_the_book_and_posting_again_fills_it(self, scene: Scene, deployment) -> None:
        offer = posted(scene, plan(deployment))

        assert services.offers.pause(offer.id, actor=scene.provider, now=NOW) == 12
        assert market.open_count(scene.provider) == 0
        assert services.offers.post_due(now=NOW) == 0
        assert services.offers.post(offer.id, actor=scene.provider, now=NOW) == 12
        assert market.open_count(scene.provider) == 12

    def test_a_withdrawn_offer_stays_withdrawn(self, scene: Scene, deployment) -> None:
        offer = posted(scene, plan(deployment))
        services.offers.withdraw(offer.id, actor=scene.provider, now=NOW)

        with pytest.raises(WrongState):
            services.offers.post(offer.id, actor=scene.provider, now=NOW)
        assert services.offers.withdraw(offer.id, actor=scene.provider, now=NOW) == 0

    def test_retiring_a_deployment_withdraws_its_offers(self, scene: Scene, deployment) -> None:
        offer = posted(scene, plan(deployment))

        services.deployments.retire(deployment, actor=scene.provider, now=NOW)

        assert selectors.plan(offer.id, scene.provider, now=NOW).state == "withdrawn"
        assert market.open_count(scene.provider) == 0
        with pytest.raises(WrongState):
            services.offers.create(plan(deployment), actor=scene.provider, now=NOW)


class TestPreview:
    def test_shows_what_posting_then_does(self, scene: Scene, deployment) -> None:
        posted(scene, plan(deployment, Once(NEXT), share_bps=4_000))
        draft = plan(deployment, ALWAYS, share_bps=8_000)

        preview = services.offers.preview(draft, actor=scene.provider, now=NOW)

        offer = posted(scene, draft)
        shown = {window.start: (window.limit_micros, window.quantity_st) for window in preview.windows}
        assert shown == {one.window_start: (one.limit_micros, one.quantity_st) for one in offer.posted}
        assert len(shown) == 49


class TestRights:
    def test_a_buyer_cannot_offer(self, scene: Scene, deployment) -> None:
        with pytest.raises(Forbidden):
            services.offers.create(plan(deployment), actor=scene.buyer, now=NOW)

    def test_another_providers_things_do_not_exist(self, scene: Scene, deployment) -> None:
        other = actors.of_organisation(organisations.create(name="Other", kind="provider", now=NOW))
        offer = posted(scene, plan(deployment))

        for attempt in (
            lambda: services.offers.create(plan(deployment), actor=other, now=NOW),
            lambda: services.offers.pause(offer.id, actor=other, now=NOW),
            lambda: services.offers.withdraw(offer.id, actor=other, now=NOW),
            lambda: services.deployments.retire(deployment, actor=other, now=NOW),
            lambda: selectors.plan(offer.id, other, now=NOW),
            lambda: scene.deployment(selectors.pools_of(scene.provider)[0].id, now=NOW, actor=other),
        ):
            with pytest.raises(NotFound):
                attempt()
        assert selectors.plans_of(other, now=NOW) == []

    def test_a_viewer_cannot_change_offers(self, scene: Scene, deployment) -> None:
        given_ = scene.provider
        viewer = Actor(
            given_.organisation_id, given_.organisation_kind, "", None, None, "viewer", frozenset({"offers:read"})
        )

        with pytest.raises(Forbidden):
            services.offers.create(plan(deployment), actor=viewer, now=NOW)


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "field"),
        [({"discount_bps": 10_000}, "discount_bps"), ({"discount_bps": -1}, "discount_bps"), ({"floor_micros": 0}, "floor_micros"),
         ({"floor_micros": 1_005_000}, "floor_micros"), ({"share_bps": 0}, "share_bps"), ({"share_bps": 10_001}, "share_bps"),
         ({"grade": "gold"}, "grade"), ({"schedule": Weekly(frozenset(), 1, 2)}, "weekdays"),
         ({"schedule": Weekly(frozenset({7}), 1, 2)}, "weekdays"), ({"schedule": Weekly(frozenset({1}), 2, 2)}, "to_hour"),
         ({"schedule": Weekly(frozenset({1}), 24, 2)}, "from_hour"), ({"schedule": Once(NOW)}, "window_start"),
         ({"schedule": Once(NEXT - 2 * HOUR)}, "window_start"), ({"schedule": Once(NEXT + 49 * HOUR)}, "window_start")],
    )  # fmt: skip
    def test_is_refused_by_field_and_nothing_is_written(self, scene: Scene, deployment, change, field: str) -> None:
        with pytest.raises(BadValue) as caught:
            services.offers.create(plan(deployment, **{"schedule": NIGHT, **change}), actor=scene.provider, now=NOW)

        assert caught.value.details["field"] == field
        assert selectors.plans_of(scene.provider, now=NOW) == []

    def test_suggests_the_floor_on_the_tick(self, scene: Scene, deployment) -> None:
        with pytest.raises(BadValue) as caught:
            services.offers.create(plan(deployment, floor_micros=1_005_000), actor=scene.provider, now=NOW)

        assert caught.value.details["suggest_micros"] == 1_000_000

    @pytest.mark.parametrize(
        "url",
        ["http://engine.example.com", "https://127.0.0.1", "https://localhost:8000", "https://10.1.2.3/x", "https://[::1]",
         "https://169.254.169.254", "https://[fd00::1]", "https://192.168.0.1"],
    )  # fmt: skip
    def test_an_address_inside_the_operators_network_is_refused(self, scene: Scene, url: str) -> None:
        draft = DeploymentDraft(scene.pool(now=NOW), LINE, "fp16", url, 1_000)

        with pytest.raises(PrivateEndpoint):
            services.deployments.add(draft, actor=scene.provider, now=NOW)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "ftp://x",
            "https://",
            "https://u:p@x.example",
            "https://x.example?a",
            "https://x.example:99999",
            "https://ж.example",
        ],
    )
    def test_what_is_no_address_is_refused(self, scene: Scene, url: str) -> None:
        with pytest.raises(BadValue):
            services.deployments.add(
                DeploymentDraft(scene.pool(now=NOW), LINE, "fp16", url, 1), actor=scene.provider, now=NOW
            )

    def test_a_coarser_format_than_the_lines_is_refused(self, scene: Scene) -> None:
        draft = DeploymentDraft(scene.pool(now=NOW), LINE, "fp8", "https://engine.example.com", 1_000)

        with pytest.raises(WorseFormat):
            services.deployments.add(draft, actor=scene.provider, now=NOW)

    def test_a_name_is_taken_once(self, scene: Scene) -> None:
        pool = scene.pool(now=NOW)
        scene.deployment(pool, now=NOW)

        with pytest.raises(NameTaken):
            scene.pool(now=NOW)
        with pytest.raises(NameTaken):
            scene.deployment(pool, now=NOW)

    @pytest.mark.parametrize(
        "change",
        [
            {"vendor": "acme"},
            {"region": "mars"},
            {"data_terms": ""},
            {"name": " "},
            {"name": "a\nb"},
            {"device_count": 0},
        ],
    )
    def test_a_pool_in_unknown_words_is_refused(self, scene: Scene, change) -> None:
        values = {name: getattr(POOL, name) for name in PoolDraft.__dataclass_fields__}

        with pytest.raises(BadValue):
            services.pools.add(PoolDraft(**{**values, **change}), actor=scene.provider, now=NOW)


class TestEngineKey:
    def test_is_read_by_the_gateway_and_shown_in_no_view(self, scene: Scene) -> None:
        deployment = scene.deployment(scene.pool(now=NOW), now=NOW, key="s3cret")

        assert selectors.engine_key(deployment) == "s3cret"
        assert "s3cret" not in repr(selectors.deployment(deployment))
        assert selectors.deployment(deployment).endpoint_url == "https://engine.example.com"


def market_clock():
    from accounts.kernel.formats import MARKET_CLOCK

    return MARKET_CLOCK
