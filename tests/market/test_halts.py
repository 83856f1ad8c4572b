"""Halts of a line or of an organisation."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import AuditEvent, User
from accounts.selectors import actors, clock
from accounts.services import members
from market import selectors, services
from market.kernel import errors
from market.models import Halt, ModelLine
from tests.market.test_api import client_of, place

YUAN = 10**6
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


@pytest.fixture
def staff(world):
    return actors.of_organisation(world.operator)


def halt(world, staff, **of):
    """Halt an organisation, or the line of that name."""
    if "line" in of:
        of["line_id"] = ModelLine.objects.get(slug=of.pop("line")).id
    return services.halts.impose(reason="fire drill", actor=staff, now=world.now, **of)


class TestLine:
    def test_takes_no_orders_and_says_why(self, world, buyer, seller, staff):
        until = world.now + timedelta(hours=3)
        halt(world, staff, line=world.line, ends_at=until)

        for enter in (lambda: world.bid(buyer, 1_000, 2 * YUAN), lambda: world.offer(seller, 1_000, 2 * YUAN)):
            with pytest.raises(errors.LineHalted) as refusal:
                enter()
            assert refusal.value.details == {"reason": "fire drill", "until": until.isoformat()}
        assert world.bid(buyer, 1_000, 2 * YUAN, line="llama-2-7b").is_open

    def test_sits_out_and_goes_on_where_it_stood(self, world, buyer, seller, staff):
        mine = [world.bid(buyer, 1_000, 2 * YUAN), world.offer(seller, 1_000, 2 * YUAN)]
        supply_id = world.supply(seller, 1_000, line="llama-2-7b")
        others = [
            world.bid(buyer, 1_000, 2 * YUAN, line="llama-2-7b"),
            world.offer(seller, 1_000, 2 * YUAN, line="llama-2-7b", supply_id=supply_id),
        ]
        halted = halt(world, staff, line=world.line)

        summary = world.round()

        assert {world.order(one).status for one in others} == {"filled"}
        assert {world.order(one).status for one in mine} == {"open"}
        assert summary.products == 1
        services.halts.lift(halted, actor=staff, now=world.now)
        world.round()
        assert {world.order(one).status for one in mine} == {"filled"}

    def test_lets_orders_be_cancelled_and_expire_but_not_amended(self, world, buyer, staff):
        first, second = world.bid(buyer, 1_000, 2 * YUAN), world.bid(buyer, 1_000, 2 * YUAN)
        halt(world, staff, line=world.line)

        with pytest.raises(errors.LineHalted):
            services.amending.amend(first.id, services.Change(quantity_st=2_000), actor=buyer, now=world.now)
        assert services.orders.cancel(first.id, actor=buyer, now=world.now).status == "cancelled"
        services.sweep.sweep(now=world.window + timedelta(hours=1))
        assert world.order(second).status == "expired"

    def test_does_not_keep_a_rival_on_the_same_chips_out(self, world, buyer, seller, staff):
        group = uuid4()
        for line in ("llama-3-8b", "llama-2-7b"):
            supply_id = world.supply(seller, 1_000, group=group, line=line)
            world.offer(seller, 1_000, 2 * YUAN, supply_id=supply_id, line=line)
            world.bid(buyer, 1_000, 2 * YUAN, line=line)
        halt(world, staff, line="llama-3-8b")

        assert world.round().fills == 2

    def test_lasts_from_its_start_to_its_end(self, world, buyer, staff):
        start = world.now + timedelta(minutes=10)
        halt(world, staff, line=world.line, starts_at=start, ends_at=start + timedelta(minutes=10))

        assert world.bid(buyer, 1_000, 2 * YUAN).is_open
        world.now = start
        with pytest.raises(errors.LineHalted):
            world.bid(buyer, 1_000, 2 * YUAN)
        world.now = start + timedelta(minutes=10)
        assert world.bid(buyer, 1_000, 2 * YUAN).is_open


class TestOrganisation:
    def test_sits_out_while_others_trade(self, world, buyer, seller, staff):
        halted = world.organisation("buyer", yuan=10)
        theirs, mine = world.bid(halted, 1_000, 2 * YUAN), world.bid(buyer, 1_000, 1_900_000)
        halt(world, staff, organisation_id=halted.organisation_id)
        world.offer(seller, 1_000, 1_900_000)

        world.round()

        assert (world.order(theirs).status, world.order(mine).status) == ("open", "filled")
        with pytest.raises(errors.OrganisationHalted):
            world.bid(halted, 1_000, 2 * YUAN)
        assert services.orders.cancel_all(actor=halted, now=world.now) == 1


class TestHalt:
    def test_is_lifted_once_and_kept(self, world, staff):
        first = halt(world, staff, line=world.line)
        later = halt(world, staff, line=world.line, starts_at=world.now + timedelta(days=1))

        for one in (first, later, first):
            services.halts.lift(one, actor=staff, now=world.now)

        assert selectors.halts(now=world.now + timedelta(days=2)) == []
        assert Halt.objects.get(id=first).ends_at == world.now
        assert list(AuditEvent.objects.filter(action="halt.lifted").values_list("subject", flat=True).order_by("id")) == [
            str(first), str(later)
        ]  # fmt: skip

    def test_is_of_a_line_or_an_organisation(self, world, buyer, staff):
        for of in ({}, {"line": world.line, "organisation_id": buyer.organisation_id}):
            with pytest.raises(IntegrityError, match="market_halt_of_one"), transaction.atomic():
                halt(world, staff, **of)


class TestEdges:
    def test_the_api_refuses_with_a_stable_code(self, live_world):
        buyer, staff = live_world.organisation("buyer", yuan=10), actors.of_organisation(live_world.operator)
        halt(live_world, staff, organisation_id=buyer.organisation_id)

        answer = place(client_of(buyer), live_world).json()

        assert (answer["status"], answer["code"], answer["reason"]) == (409, "organisation_halted", "fire drill")

    def test_the_admin_imposes_and_lifts(self, live_world):
        members.add(
            organisation_id=live_world.operator, email="staff@example.com", role="owner", now=clock.now(), is_staff=True
        )
        staff = Client()
        staff.force_login(User.objects.get(email="staff@example.com"))
        line = ModelLine.objects.get(slug=live_world.line)
        url = "/admin/market/halt/"
        form = {"line": str(line.id), "reason": "fire drill", "starts_at_0": "2026-01-01", "starts_at_1": "00:00:00"}

        assert staff.get(f"{url}add/").status_code == 200
        both = staff.post(f"{url}add/", {**form, "organisation": str(live_world.operator)})
        assert (both.status_code, Halt.objects.count()) == (200, 0)
        assert staff.post(f"{url}add/", form).status_code == 302
        (one,) = selectors.halts(now=clock.now())
        assert (one.line, one.reason) == (live_world.line, "fire drill")
        assert staff.get(url).status_code == 200
        staff.post(url, {"action": "lift", "_selected_action": str(one.id)})
        assert selectors.halts(now=clock.now()) == []
