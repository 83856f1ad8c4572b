"""What the pages say of an order that was cancelled while its round is being cleared."""

from __future__ import annotations

from typing import Any

import pytest

from tests.market.test_order_pages import ask, path
from tests.market.test_pages import buyer, page, seller
from tests.market.test_staged import close, while_clearing

__all__ = ["buyer", "page", "seller", "while_clearing"]  # fixtures
pytestmark = pytest.mark.django_db


def test_its_state_is_told_and_nothing_is_offered_until_its_round_is_known(
    live_world: Any, buyer: Any, seller: Any, page: Any, while_clearing: Any
) -> None:
    bid = live_world.bid(buyer, 5_000, 1_900_000)
    live_world.offer(seller, 3_000, 1_800_000)
    seen: dict[str, str] = {}

    def look() -> None:
        live_world.bid(buyer, 1_000, 1_500_000)
        before = page.get(path(bid)).content.decode()
        assert "Change the order" in before and 'data-open-dialog="cancel"' in before
        seen["cancelled"] = page.post(path(bid, "cancel/"), follow=True).content.decode()
        seen["order"] = page.get(path(bid)).content.decode()
        seen["listed"] = page.get("/orders/?status=pending_cancel").content.decode()
        seen["all"] = page.get("/orders/").content.decode()

    while_clearing(look)
    close(live_world)

    assert "The order is being cancelled" in seen["cancelled"]
    assert "What that round still fills counts" in seen["order"]
    assert "Being cancelled: its round is cleared first" in seen["order"]
    assert "Change the order" not in seen["order"] and 'data-open-dialog="cancel"' not in seen["order"]
    assert "its hold given back." not in seen["cancelled"].split("<main")[0]
    assert path(bid) in seen["listed"] and seen["listed"].count("<tbody><tr>") == 1
    assert path(bid, "cancel/") not in seen["listed"]
    assert "Being cancelled: cancelled while their round" in seen["listed"]
    assert "Cancel 1 open order" in seen["all"]  # the other one
    after = page.get(path(bid)).content.decode()
    assert live_world.order(bid).status == "cancelled"
    assert "Rest cancelled, its hold given back" in after and "Being cancelled" not in after


def test_a_change_of_it_is_refused_in_words(live_world: Any, buyer: Any, page: Any, while_clearing: Any) -> None:
    bid = live_world.bid(buyer, 5_000, 1_900_000)
    review = ask(page, bid, quantity="0.004")
    assert "Is this right?" in review.content.decode()
    seen = []

    def change() -> None:
        page.post(path(bid, "cancel/"))
        sent = {"price": "1.90", "initial-price": "1.90", "quantity": "0.004", "initial-quantity": "0.005", "key": "k"}
        seen.append(page.post(path(bid, "amend/"), sent, follow=True).content.decode())

    while_clearing(change)
    close(live_world)

    assert "cannot be changed any more" in seen[0]
