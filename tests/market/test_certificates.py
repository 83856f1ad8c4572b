"""What a round prints is enough for a stranger to check it, and any change of it is seen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from accounts.kernel import ids
from market import selectors
from market.matching_engine.certificate import check_round
from market.models import Certificate
from market.services import certificates

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


def traded(world: Any, buyer: Any, seller: Any) -> int:
    world.bid(buyer, 7_000, 2_000_000)
    world.bid(buyer, 5_000, 1_900_000)
    world.bid(buyer, 4_000, 1_500_000)
    world.offer(seller, 4_000, 1_700_000)
    world.offer(seller, 6_000, 1_900_000)
    return world.round().number


def document(number: int, client: Client | None = None) -> dict[str, Any]:
    answer = (client or Client()).get(f"/rounds/{number}/certificate.json")
    assert answer.status_code == 200
    return json.loads(answer.content)


def test_a_stranger_without_a_key_finds_that_it_holds(world: Any, buyer: Any, seller: Any) -> None:
    found = document(traded(world, buyer, seller))
    assert check_round(found) == []
    (component,) = found["components"]
    assert [component["cells"][0][name] for name in ("price", "volume")] == ["1900000", "10"]
    assert len(component["orders"]) == 5


def test_it_names_nobody(world: Any, buyer: Any, seller: Any) -> None:
    text = json.dumps(document(traded(world, buyer, seller)))
    orders = [one.id for one in [*selectors.orders(buyer, limit=9), *selectors.orders(seller, limit=9)]]
    for identifier in (*orders, buyer.organisation_id, seller.organisation_id):
        assert str(identifier) not in text and identifier.hex not in text
        assert ids.encode("ord", identifier) not in text


@pytest.mark.parametrize("change", [
    lambda found: found.update(seed="00" * 32),
    lambda found: found.update(commitment="00" * 32),
    lambda found: found["other_leaves"].append("11" * 32),
    lambda found: found["components"][0]["orders"].pop(),
    lambda found: found["components"][0]["orders"][0].update(tie="22" * 32),
    lambda found: found["components"][0]["cells"][0].update(price="1890000"),
    lambda found: found["components"][0]["cells"][0].update(greatest="1910000"),
    lambda found: found["components"][0].update(welfare="1"),
    lambda found: found["components"][0]["orders"][0]["fills"].update({"0": "1"}),
])  # fmt: skip
def test_a_change_is_seen(world: Any, buyer: Any, seller: Any, change: Any) -> None:
    found = document(traded(world, buyer, seller))
    change(found)
    assert check_round(found)


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


def test_the_checker_is_one_file_that_runs_alone(world: Any, buyer: Any, seller: Any, tmp_path: Any) -> None:
    import subprocess
    import sys

    (tmp_path / "round.json").write_text(json.dumps(document(traded(world, buyer, seller))))
    source = b"".join(Client().get("/rounds/certificate.py").streaming_content)
    (tmp_path / "check.py").write_bytes(source)
    run = [sys.executable, "-I", str(tmp_path / "check.py"), str(tmp_path / "round.json")]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip() == "The round holds."


def test_orders_of_a_private_line_are_leaves_to_others(world: Any, buyer: Any, seller: Any) -> None:
    from market.models import ModelLine

    number = traded(world, buyer, seller)
    ModelLine.objects.filter(slug=world.line).update(owner_id=buyer.organisation_id)
    market_id = selectors.the_market().id
    theirs = certificates.read(number, market_id=market_id, organisation_id=seller.organisation_id)
    mine = certificates.read(number, market_id=market_id, organisation_id=buyer.organisation_id)
    assert (len(theirs["components"]), len(theirs["other_leaves"])) == (0, 5)
    assert check_round(theirs) == check_round(mine) == []
    assert len(mine["components"]) == 1


@pytest.mark.parametrize("statement", ["UPDATE market_certificate SET body = ''", "DELETE FROM market_certificate"])
def test_it_never_changes(world: Any, buyer: Any, seller: Any, statement: str) -> None:
    traded(world, buyer, seller)
    assert Certificate.objects.count() == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        connection.cursor().execute(statement)
