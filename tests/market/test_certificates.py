"""What a round prints is enough for a stranger to check it, and any change of it is seen."""

from __future__ import annotations

import ast
import copy
import json
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from accounts.kernel import ids
from market import selectors
from market.kernel.orders import Choice, Scope
from market.matching_engine import certificate
from market.matching_engine.certificate import check_round
from market.matching_engine.certificate_reading import Malformed, read
from market.models import Certificate, Round
from market.services import certificates

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


def traded(world: Any, buyer: Any, seller: Any) -> int:
    world.bid(buyer, 7_000, 2_000_000)
    world.bid(buyer, 5_000, 1_900_000)
    world.bid(buyer, 4_000, 1_500_000)
    world.offer(seller, 4_000, 1_700_000)
    world.offer(seller, 6_000, 1_900_000)
    return world.round().number


def broken(document: dict[str, Any]) -> list[str]:
    try:
        return check_round(read(document))
    except Malformed as error:
        return [str(error)]


def document(number: int, client: Client | None = None) -> dict[str, Any]:
    answer = (client or Client()).get(f"/rounds/{number}/certificate.json")
    assert answer.status_code == 200
    return json.loads(answer.content)


def test_a_stranger_without_a_key_finds_that_it_holds(world: Any, buyer: Any, seller: Any) -> None:
    found = document(traded(world, buyer, seller))
    assert broken(found) == []
    (component,) = found["components"]
    assert [component["cells"][0][name] for name in ("price", "volume")] == ["1900000", "10"]
    assert len(component["orders"]) == 5


def test_it_names_nobody(world: Any, buyer: Any, seller: Any) -> None:
    text = json.dumps(document(traded(world, buyer, seller)))
    orders = [one.id for one in [*selectors.orders(buyer, limit=9), *selectors.orders(seller, limit=9)]]
    for identifier in (*orders, buyer.organisation_id, seller.organisation_id):
        assert str(identifier) not in text and identifier.hex not in text
        assert ids.encode("ord", identifier) not in text


def flexible(world: Any, buyer: Any, seller: Any) -> int:
    """A round with two products, a bid for either with a minimum, one told apart by vendor, and an exclusive group."""
    later = world.window + timedelta(hours=1)
    choices = tuple(Choice(world.line, start, 2_000_000) for start in (world.window, later))
    world.offer(seller, 4_000, 1_700_000)
    world.bid(buyer, 3_000, 2_000_000, choices=choices, scope=Scope(minimum_st=2_000))
    world.bid(buyer, 3_000, 2_250_000, scope=Scope(vendors=("nvidia",)))
    chips = uuid4()
    for line in ("llama-3-8b", "llama-2-7b"):
        world.offer(seller, 2_000, 1_800_000, supply_id=world.supply(seller, 2_000, group=chips, line=line), line=line)
    world.bid(buyer, 2_000, 1_900_000, line="llama-2-7b")
    return world.round().number


def leaves_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every single value of a document."""
    if not isinstance(value, dict | list):
        return [path]
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
    return [way for key, part in pairs for way in leaves_of(part, (*path, key))]


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if value is None:
        return 7
    if isinstance(value, int):
        return value + 1
    if value.lstrip("-").isdigit() and len(value) < 60:
        return str(int(value) + 1)
    return ("1" if value[0] == "0" else "0") + value[1:]


@pytest.mark.parametrize("trade", [traded, flexible])
def test_every_changed_field_is_seen(world: Any, buyer: Any, seller: Any, trade: Any) -> None:
    found = document(trade(world, buyer, seller))
    assert broken(found) == []

    ways = leaves_of(found)
    assert len(ways) > 60
    for *way, last in ways:
        changed = copy.deepcopy(found)
        at = changed
        for key in way:
            at = at[key]
        at[last] = other(at[last])
        assert broken(changed), (*way, last)
        del at[last]
        assert broken(changed), ("without", *way, last)


@pytest.mark.parametrize("trade", [traded, flexible])
def test_a_field_of_another_order_or_more_of_them_is_seen(world: Any, buyer: Any, seller: Any, trade: Any) -> None:
    found = document(trade(world, buyer, seller))
    for number, part in enumerate(found["components"]):
        changed = copy.deepcopy(found)
        changed["components"][number]["orders"].append(copy.deepcopy(part["orders"][0]))
        assert broken(changed)
        for name in ("limits", "fills"):
            changed = copy.deepcopy(found)
            changed["components"][number]["orders"][0][name]["1"] = "5"
            assert broken(changed)
    found["other_leaves"].append("11" * 32)
    assert broken(found)


def test_limits_are_printed_as_they_were_named_and_count_inside_the_collar(world: Any, buyer: Any, seller: Any) -> None:
    world.bid(buyer, 3_000, 2_390_000, scope=Scope(minimum_st=3_000))
    world.bid(buyer, 1_000, 1_700_000)
    world.offer(seller, 1_000, 1_700_000)
    world.round()  # the collar moves to 20 % around 1.70
    world.offer(seller, 3_000, 1_700_000)

    found = document(world.round().number)

    (part,) = found["components"]
    assert sorted(one["limits"]["0"] for one in part["orders"]) == ["1700000", "2390000"]
    assert part["cells"][0]["header"]["high"] == part["cells"][0]["greatest"] == "2040000"
    assert broken(found) == []


def test_only_its_owner_finds_an_order(world: Any, buyer: Any, seller: Any) -> None:
    number = traded(world, buyer, seller)
    (part,) = document(number)["components"]
    market_id = selectors.the_market().id
    sides = {one["pseudonym"]: one["side"] for one in part["orders"]}

    for side, actor in enumerate((buyer, seller)):
        own = certificates.own(number, market_id=market_id, organisation_id=actor.organisation_id)
        assert {one.order_id for one in own} == {one.id for one in selectors.orders(actor, limit=9)}
        assert [sides[one.pseudonym] for one in own] == [side] * len(own)
    stranger = world.organisation("buyer")
    assert certificates.own(number, market_id=market_id, organisation_id=stranger.organisation_id) == []


def test_pseudonyms_differ_from_round_to_round_and_survive_a_new_secret(
    world: Any, buyer: Any, seller: Any, settings: Any
) -> None:
    bid = world.bid(buyer, 7_000, 2_000_000)
    market_id, found = selectors.the_market().id, []
    for _ in range(2):
        world.offer(seller, 2_000, 1_700_000)
        number = world.round().number
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        settings.SECRET_KEY = f"another after {number}"
        (own,) = certificates.own(number, market_id=market_id, organisation_id=buyer.organisation_id)
        assert own.order_id == bid.id
        found.append(own.pseudonym)

    assert found[0] != found[1]
    assert broken(document(number)) == []


def test_the_owner_sees_the_pseudonym_by_rest_and_page_and_nobody_else_does(
    world: Any, buyer: Any, seller: Any
) -> None:
    from tests.market.test_api import client_of
    from tests.market.test_pages import signed_in

    number = traded(world, buyer, seller)
    found = client_of(buyer).get(f"/api/v1/rounds/{number}/orders").json()["data"]
    mine = {ids.encode("ord", one.id) for one in selectors.orders(buyer, limit=9)}
    assert {one["order"] for one in found} == mine
    theirs = client_of(seller).get(f"/api/v1/rounds/{number}/orders").json()["data"]
    assert not {one["pseudonym"] for one in theirs} & {one["pseudonym"] for one in found}
    pages = {actor: signed_in(actor).get(f"/rounds/{number}/").content.decode() for actor in (buyer, seller)}
    for one in found:
        assert one["pseudonym"] in pages[buyer] and one["pseudonym"] not in pages[seller]
    assert found[0]["pseudonym"] not in Client().get(f"/rounds/{number}/").content.decode()


def test_a_round_without_a_trade_prints_none(world: Any, buyer: Any) -> None:
    world.bid(buyer, 1_000, 2_000_000)
    number = world.round().number
    assert Client().get(f"/rounds/{number}/certificate.json").status_code == 404
    assert Client().get(f"/rounds/{number}/").status_code == 200


@pytest.mark.parametrize("number", ["0", "99", "x", "-1", "9" * 30])
def test_a_round_that_is_not_there_is_404(world: Any, number: str) -> None:
    assert Client().get(f"/rounds/{number}/certificate.json").status_code == 404


def test_the_page_says_what_the_checker_says(world: Any, buyer: Any, seller: Any) -> None:
    number = traded(world, buyer, seller)
    page = Client(headers={"accept-language": "en"}).get(f"/rounds/{number}/").content.decode()
    assert "Checked just now" in page and f"/rounds/{number}/certificate.json" in page


def test_the_checker_is_two_files_that_run_alone(world: Any, buyer: Any, seller: Any, tmp_path: Any) -> None:
    import subprocess
    import sys

    (tmp_path / "round.json").write_text(json.dumps(document(traded(world, buyer, seller))))
    for name in ("certificate.py", "certificate_reading.py"):
        (tmp_path / name).write_bytes(b"".join(Client().get(f"/rounds/{name}").streaming_content))
    run = [sys.executable, "-E", "-S", str(tmp_path / "certificate.py"), str(tmp_path / "round.json")]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip() == "The round holds."


def test_the_checks_are_short() -> None:
    tree = ast.parse(Path(certificate.__file__).read_text())
    checks = [one for one in tree.body if isinstance(one, ast.FunctionDef)]
    assert sum((one.end_lineno or 0) - one.lineno - 1 for one in checks) <= 85


def test_a_certificate_of_the_first_version_is_read_as_it_was(world: Any, buyer: Any, seller: Any) -> None:
    number = traded(world, buyer, seller)
    round_ = Round.objects.get(number=number)
    product = str(selectors.product_at(world.line, world.grade, world.window).id)
    cell = {"product": product, "cell": None, "low": 1, "high": 9, "least": 5, "greatest": 5, "price": 5, "volume": 1}
    part = {
        "tick": 1, "lot_st": 1, "path": "none", "welfare": 0, "cells": [cell], "leaf": "ab" * 64, "side": [0, 1],
        "cohort": [1, 1], "quantity": [1, 1], "limit": [5, 5], "fill": [1, 1],
    }  # fmt: skip
    body = zlib.compress(json.dumps({"other": "cd" * 32, "components": [part]}).encode())
    with transaction.atomic():
        connection.check_constraints()  # what is still to be checked would keep ALTER TABLE from starting
        connection.cursor().execute("ALTER TABLE market_certificate DISABLE TRIGGER USER")
        Certificate.objects.filter(round=round_).update(body=body)

    found = document(number)
    assert "version" not in found and found["other_leaves"] == ["cd" * 32]
    assert [one["leaf"] for one in found["components"][0]["orders"]] == ["ab" * 32] * 2
    assert "earlier" in broken(found)[0].lower()
    page = Client(headers={"accept-language": "en"}).get(f"/rounds/{number}/").content.decode()
    assert "earlier release" in page
    market_id = selectors.the_market().id
    assert certificates.own(number, market_id=market_id, organisation_id=buyer.organisation_id) == []


def test_orders_of_a_private_line_are_leaves_to_others(world: Any, buyer: Any, seller: Any) -> None:
    from market.models import ModelLine

    number = traded(world, buyer, seller)
    ModelLine.objects.filter(slug=world.line).update(owner_id=buyer.organisation_id)
    market_id = selectors.the_market().id
    theirs = certificates.read(number, market_id=market_id, organisation_id=seller.organisation_id)
    mine = certificates.read(number, market_id=market_id, organisation_id=buyer.organisation_id)
    assert (len(theirs["components"]), len(theirs["other_leaves"])) == (0, 6)
    assert broken(theirs) == broken(mine) == []
    assert len(mine["components"]) == 1


@pytest.mark.parametrize("statement", ["UPDATE market_certificate SET body = ''", "DELETE FROM market_certificate"])
def test_it_never_changes(world: Any, buyer: Any, seller: Any, statement: str) -> None:
    traded(world, buyer, seller)
    assert Certificate.objects.count() == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        connection.cursor().execute(statement)
