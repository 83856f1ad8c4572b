"""The ticket, and the change and end of an order, by keyboard alone and on a narrow screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.conftest import Site
from tests.e2e.test_tour import api, eventually, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
FOCUS = "document.activeElement"
HOUR = timedelta(hours=1)


@contextmanager
def no_problems(page: Any) -> Iterator[None]:
    """Fail on an error in the page's console."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    yield
    assert not found


def tab_to(page: Any, wanted: str) -> None:
    """Press Tab until something that matches the selector has the focus."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate(f"{FOCUS}.matches({wanted!r})"):
            return
    raise AssertionError(f"Tab does not lead to {wanted}.")


def write(page: Any, text: str) -> None:
    """Type over what stands in the field with the focus."""
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def order_in(page: Any) -> str:
    found = re.search(r"ord_[0-9a-z]{26}", page.locator("#ticket-body").inner_text())
    assert found
    return found[0]


def fits(page: Any, width: int) -> bool:
    """Whether neither the page nor the ticket scrolls sideways."""
    return bool(
        page.evaluate(
            "width => document.documentElement.scrollWidth <= width && "
            "[...document.querySelectorAll('#ticket, dialog[open]')].every(one => one.scrollWidth <= one.clientWidth)",
            width,
        )
    )


def low_bid(site: Site) -> str:
    """A bid that nobody meets."""
    ahead = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 3 * HOUR
    body = {
        "side": "buy", "line": "llama-3-8b", "grade": "interactive", "window_start": ahead.isoformat(),
        "quantity_st": "100000", "price_per_million": "0.20",
    }  # fmt: skip
    with api(site) as client:
        placed = client.post("/orders", json=body, headers={"Idempotency-Key": uuid4().hex})
    assert placed.status_code == 201, placed.text
    return str(placed.json()["id"])


class TestTicket:
    def test_takes_a_bid_with_every_choice_by_keyboard(self, site: Site, browser: Any) -> None:
        page = sign_in(browser, site, "buyer")
        with no_problems(page):
            page.goto(f"{site.url}/market/llama-3-8b/?grade=interactive&price=0.20")
            page.locator("[data-requires-live]:enabled").wait_for()
            tab_to(page, "#ticket_price")
            tab_to(page, "#ticket_quantity")
            write(page, "0.3")
            tab_to(page, ".more-choices summary")
            page.keyboard.press("Enter")
            tab_to(page, "#ticket_or_better")
            page.keyboard.press("Space")
            tab_to(page, "#ticket_data_terms")
            page.keyboard.press("ArrowDown")
            tab_to(page, "#ticket_all_or_nothing")
            page.keyboard.press("Space")
            preview = page.locator("#preview")
            for told in ("Real time", "Kept up to 30 days", "All or nothing", "CN¥0.06"):
                preview.get_by_text(told).first.wait_for()

            tab_to(page, "[data-ticket] button[type=submit]")
            page.keyboard.press("Enter")
            page.get_by_text("Is this right?").wait_for()
            eventually(lambda: page.evaluate(f"{FOCUS}.textContent.includes('Is this right?')"), 10)
            tab_to(page, "#ticket-body button[type=submit]")
            page.keyboard.press("Enter")
            page.get_by_text("Your bid is in").wait_for()
            eventually(lambda: page.evaluate(f"{FOCUS}.textContent.includes('Your bid is in')"), 10)

            order_id = order_in(page)
            tab_to(page, "#ticket-body .actions a")
            page.keyboard.press("Enter")
            page.wait_for_url(f"{site.url}/orders/{order_id}/")
            accepts = page.locator("section", has=page.get_by_role("heading", name="What it accepts"))
            for told in ("Real time", "Kept up to 30 days", "All or nothing"):
                accepts.get_by_text(told).first.wait_for()
        with api(site) as client:
            placed = client.get(f"/orders/{order_id}").json()
        assert (placed["quantity_st"], placed["min_quantity_st"]) == ("300000", "300000")

    def test_says_beside_the_least_quantity_that_it_contradicts_the_tick(self, site: Site, browser: Any) -> None:
        page = sign_in(browser, site, "buyer")
        page.goto(f"{site.url}/market/llama-3-8b/?grade=batch&price=0.20&quantity=0.3&all_or_nothing=on&least=0.1")
        page.get_by_role("button", name="Review the bid").click()

        page.get_by_text("Leave this empty, or take away the tick above.").first.wait_for()
        eventually(lambda: page.evaluate(f"{FOCUS}.id === 'ticket_least'"), 10)
        write(page, "0.4")
        page.uncheck("#ticket_all_or_nothing")
        page.get_by_role("button", name="Review the bid").click()
        page.locator("#ticket_least_error").wait_for()

    def test_fits_a_narrow_screen_at_each_step(self, site: Site, browser: Any) -> None:
        page = sign_in(browser, site, "buyer")
        page.set_viewport_size({"width": 390, "height": 844})
        with no_problems(page):
            page.goto(f"{site.url}/market/llama-3-8b/?grade=interactive&price=0.20&quantity=0.3&or_better=on&least=0.1")
            page.get_by_role("button", name="Buy", exact=True).click()
            page.locator("#preview").get_by_text("Worst cost").wait_for(state="attached")
            assert fits(page, 390)
            page.get_by_role("button", name="Review the bid").click()
            page.get_by_text("Is this right?").wait_for()
            assert fits(page, 390)
            page.get_by_role("button", name="Place the bid").click()
            page.get_by_text("Your bid is in").wait_for()
            assert fits(page, 390)
            page.goto(f"{site.url}/orders/{order_in(page)}/")
            assert fits(page, 390)


class TestOrder:
    def test_is_changed_and_cancelled_by_keyboard(self, site: Site, browser: Any) -> None:
        order_id = low_bid(site)
        page = sign_in(browser, site, "buyer")
        with no_problems(page):
            page.goto(f"{site.url}/orders/{order_id}/")
            tab_to(page, "#amend_price")
            write(page, "0.25")
            tab_to(page, "#amend_quantity")
            write(page, "0.2")
            tab_to(page, "#amend button[type=submit]")
            page.keyboard.press("Enter")
            page.get_by_text("the order ranks as a new one").wait_for()
            tab_to(page, "#amend button[type=submit]")
            page.keyboard.press("Enter")
            page.get_by_text("The order is changed, and its hold with it.").wait_for()
            with api(site) as client:
                changed = client.get(f"/orders/{order_id}").json()
            assert (changed["price_per_million"], changed["quantity_st"]) == ("0.25", "200000")

            # The dialog has the focus; Escape leaves the order as it is.
            tab_to(page, "[data-open-dialog=cancel]")
            page.keyboard.press("Enter")
            eventually(lambda: page.evaluate(f"!!{FOCUS}.closest('dialog[open]')"), 10)
            page.keyboard.press("Escape")
            page.locator("dialog[open]").wait_for(state="detached")
            eventually(lambda: page.evaluate(f"{FOCUS}.matches('[data-open-dialog=cancel]')"), 10)
            page.keyboard.press("Enter")
            tab_to(page, "dialog[open] .danger")
            page.keyboard.press("Enter")
            page.get_by_text(re.compile("The order is (cancelled|being cancelled)")).wait_for()
            assert page.locator("#amend").count() == 0
        with api(site) as client:
            assert client.get(f"/orders/{order_id}").json()["status"] in {"cancelled", "pending_cancel"}

    def test_fits_a_narrow_screen_with_its_dialog_and_its_change(self, site: Site, browser: Any) -> None:
        order_id = low_bid(site)
        page = sign_in(browser, site, "buyer")
        page.set_viewport_size({"width": 390, "height": 844})
        with no_problems(page):
            page.goto(f"{site.url}/orders/{order_id}/")
            page.get_by_role("button", name="Cancel the rest").first.click()
            assert fits(page, 390)
            page.get_by_role("button", name="Go back").click()
            page.fill("#amend_price", "0.25")
            page.get_by_role("button", name="Review the change").click()
            page.get_by_text("Is this right?").wait_for()
            assert fits(page, 390)
            for path in ("/orders/", "/rounds/"):
                page.goto(site.url + path)
                assert fits(page, 390), path
