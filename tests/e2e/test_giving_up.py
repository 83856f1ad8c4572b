"""A person gives up what was bought ahead: the fee is shown, nothing happens on the way back, then it is confirmed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.conftest import Site
from tests.e2e.test_tour import _filled, api, eventually, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


class TestGivingUp:
    def test_shows_the_fee_and_asks_before_it_gives_up(self, site: Site, browser: Any) -> None:
        ahead = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)
        body = {
            "side": "buy", "line": "llama-3-8b", "grade": "interactive", "window_start": ahead.isoformat(),
            "quantity_st": "100000", "price_per_million": "2.40",
        }  # fmt: skip
        with api(site) as client:
            placed = client.post("/orders", json=body, headers={"Idempotency-Key": uuid4().hex})
            if placed.status_code == 422:  # prices fell meanwhile: the highest limit that is taken now
                body["price_per_million"] = f"{placed.json()['highest_micros'] / 10**6:.2f}"
                placed = client.post("/orders", json=body, headers={"Idempotency-Key": uuid4().hex})
            assert placed.status_code == 201, placed.text
            order_id = placed.json()["id"]
            eventually(lambda: _filled(client, order_id))
        page = sign_in(browser, site, "buyer")
        page.goto(f"{site.url}/orders/{order_id}/")
        offered = page.get_by_role("button", name="Give up")
        count = offered.count()
        assert count >= 1

        # The dialog names the fee; going back changes nothing.
        offered.first.click()
        dialog = page.locator("dialog[open]")
        dialog.get_by_text("The seller keeps a fee of CN¥").wait_for()
        dialog.get_by_role("button", name="Go back").click()
        with api(site) as client:
            assert not any(one["cancelled_at"] for one in _of(client, order_id))

        # Confirmed, it is given up, and the button is gone.
        offered.first.click()
        page.locator("dialog[open]").get_by_role("button", name="Give it up").click()
        page.get_by_text("The allocation is given up for a fee of CN¥").wait_for()
        assert page.get_by_role("button", name="Give up").count() == count - 1
        with api(site) as client:
            (gone,) = [one for one in _of(client, order_id) if one["cancelled_at"]]
            assert gone["left_micro_st"] == "0"
            again = client.post(f"/allocations/{gone['id']}/cancel", headers={"Idempotency-Key": uuid4().hex})
            assert (again.status_code, again.json()["id"]) == (200, gone["id"])  # twice: the same answer


def _of(client: Any, order_id: str) -> list[dict[str, Any]]:
    return [one for one in client.get("/allocations").json()["data"] if one["order"] == order_id]
