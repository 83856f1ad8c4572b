"""Doors that were found open once, each with what keeps it shut."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from accounts import services as accounts
from accounts.models import ApiKey
from config.services.roles import READER
from ledger import selectors as ledger
from market import selectors, services
from market.kernel.errors import BadScope, ProductParked
from market.kernel.orders import Choice, Scope
from market.models import ModelLine, ProductFault
from tests.market.test_flexible import HOUR, offer_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


def keyed(actor: Any, now: Any) -> Client:
    scopes = ["orders:write", "orders:read", "market:read"]
    secret = accounts.keys.create(actor=actor, name="t", scopes=scopes, now=now).secret
    return Client(headers={"authorization": f"Bearer {secret}"})


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(path, body, content_type="application/json", headers={"idempotency-key": uuid4().hex})


def test_a_budget_pays_at_the_highest_limit_of_all_choices(live_world: Any) -> None:
    buyer = live_world.organisation("buyer", yuan=100)
    body = {"side": "buy", "line": "llama-3-8b", "grade": "interactive", "budget": "10", "price_per_million": "1.60",
            "window_start": live_world.window.isoformat(),
            "choices": [{"window_start": (live_world.window + HOUR).isoformat(), "price_per_million": "2.40"}]}  # fmt: skip
    answer = post(keyed(buyer, live_world.now), "/api/v1/orders", body)
    assert answer.status_code == 201, answer.content
    assert ledger.wallet(buyer.organisation_id).held_micros <= 10 * 10**6


def test_twenty_equal_blocks_are_drawn_by_the_seed_not_by_arrival(world: Any, seller: Any) -> None:
    served = set()
    for _ in range(3):
        offer_in(world, seller, 0, 10_000, 1_700_000)
        bids = [
            world.bid(world.organisation("buyer", yuan=1), 1_000, 1_900_000, scope=Scope(minimum_st=1_000))
            for _ in range(20)
        ]
        world.round()
        served.add(tuple(world.order(bid).filled_st for bid in bids))
        assert sum(next(iter(served))) == 10_000
        world.window += HOUR
    assert len(served) > 1


def test_a_line_of_ones_own_and_a_public_one_are_not_joined(world: Any, buyer: Any) -> None:
    ModelLine.objects.filter(slug="llama-2-7b").update(owner_id=buyer.organisation_id)
    own = Choice(world.line, world.window, 2_000_000)
    with pytest.raises(BadScope):
        world.bid(buyer, 1_000, 2_000_000, choices=(own, replace(own, line="llama-2-7b", limit_micros=1_900_000)))


def test_a_retired_lines_certificates_stay(world: Any, buyer: Any, seller: Any) -> None:
    offer_in(world, seller, 0, 1_000, 1_700_000)
    world.bid(buyer, 1_000, 2_000_000)
    number = world.round().number
    ModelLine.objects.update(state="retired")
    assert len(json.loads(Client().get(f"/rounds/{number}/certificate.json").content)["components"]) == 1


def test_a_parked_product_takes_no_amendments(world: Any, buyer: Any) -> None:
    from market.kernel.amending import Change

    bid = world.bid(buyer, 1_000, 2_000_000)
    ProductFault.objects.create(
        product_id=bid.product_id, failures=3, reason="x", round_number=1, parked_at=world.now
    )  # fmt: skip
    with pytest.raises(ProductParked):
        services.amending.amend(bid.id, Change(quantity_st=2_000), actor=buyer, now=world.now)


def broken_after(statement: str) -> set[str]:
    """The rules that `verify` finds broken after a change that no service makes; it is undone."""
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT before")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        rules = {one.rule for one in selectors.verify()}
        cursor.execute("ROLLBACK TO SAVEPOINT before")
    return rules


@pytest.mark.parametrize(("statement", "rule"), [
    ("UPDATE ledger_holdevent SET amount_micros = 1 WHERE kind = 'place' AND key IS NULL",
     "an allocation's hold began as what it costs"),
    ("DELETE FROM market_certificate c USING market_round r WHERE r.id = c.round_id AND r.number = 2",
     "a round that traded prints its certificate"),
])  # fmt: skip
def test_verify_sees_it(world: Any, buyer: Any, seller: Any, statement: str, rule: str) -> None:
    for _ in range(2):
        offer_in(world, seller, 0, 4_000, 1_700_000)
        world.bid(buyer, 4_000, 2_000_000)
        world.round()
    assert broken_after(statement) == {rule}


def test_a_switch_that_is_due_is_not_set_again(world: Any, buyer: Any) -> None:
    bid = world.bid(buyer, 1_000, 2_000_000)
    services.switches.cancel_all_after(1, actor=buyer, now=world.now)
    late = world.now + timedelta(seconds=2)
    services.switches.cancel_all_after(60, actor=buyer, now=late)
    assert world.order(bid).status == "cancelled"


def test_a_batch_bounds_its_choices_and_reads_what_is_no_order(live_world: Any) -> None:
    buyer = live_world.organisation("buyer", yuan=100)
    client = keyed(buyer, live_world.now)
    crowd = {"choices": [{}] * 99}
    assert post(client, "/api/v1/orders/batch", {"orders": [crowd] * 6}).status_code == 400
    mixed = post(client, "/api/v1/orders/batch", {"orders": [1, None, "x", []]})
    assert mixed.status_code == 200
    assert [one["status"] for one in mixed.json()["results"]] == [400] * 4


@pytest.mark.parametrize(
    "path", ["/api/v1/orders?line=%00", "/api/v1/products?grade=%00", "/api/v1/lines/%00/index", "/orders/?line=%00"]
)
def test_a_nul_is_refused(live_world: Any, path: str) -> None:
    buyer = live_world.organisation("buyer", yuan=100)
    assert keyed(buyer, live_world.now).get(path).status_code == 400


def test_a_choice_at_the_end_of_time_is_refused(live_world: Any) -> None:
    buyer = live_world.organisation("buyer", yuan=100)
    body = {"side": "buy", "line": "llama-3-8b", "grade": "interactive", "quantity_st": "1000", "price_per_million": "1.60",
            "window_start": live_world.window.isoformat(), "choices": [{"window_start": "9999-12-31T23:59:59Z"}]}  # fmt: skip
    assert post(keyed(buyer, live_world.now), "/api/v1/orders", body).status_code == 422


def test_a_reader_cannot_see_the_seed_of_the_open_round(world: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT has_column_privilege(%s, 'market_market', 'seed', 'SELECT'), "
            "has_column_privilege(%s, 'market_market', 'next_seed', 'SELECT'), "
            "has_table_privilege(%s, 'market_componenttask', 'SELECT'), "
            "has_column_privilege(%s, 'market_market', 'round_number', 'SELECT')", [READER] * 4,
        )  # fmt: skip
        assert cursor.fetchone() == (False, False, False, True)


def test_keys_end_with_their_makers_membership_or_right(world: Any, buyer: Any) -> None:
    from accounts.models import Member, User
    from accounts.selectors import actors
    from accounts.services import members

    members.add(organisation_id=buyer.organisation_id, email="o@x.example", role="owner", now=world.now)
    user_id = members.add(organisation_id=buyer.organisation_id, email="t@x.example", role="trader", now=world.now)
    maker = actors.for_user(User.objects.get(id=user_id))
    trades = accounts.keys.create(actor=maker, name="a", scopes=["orders:write"], now=world.now)
    reads = accounts.keys.create(actor=maker, name="b", scopes=["orders:read"], now=world.now)
    member = Member.objects.get(user_id=user_id)

    members.change_role(actor=buyer, member_id=member.id, role="viewer", now=world.now)
    assert actors.for_key(trades.secret, now=world.now) is None
    assert actors.for_key(reads.secret, now=world.now) is not None
    members.remove(actor=buyer, member_id=member.id, now=world.now)
    assert actors.for_key(reads.secret, now=world.now) is None
    assert ApiKey.objects.filter(revoked_at__isnull=True, created_by_id=user_id).count() == 0
